"""Commands that are killed, that find the disk full, that meet, whose clock jumps; for ``make test-faults``.

Each goes on afterwards, and ends with the bits of one that nothing happened to. ``KILLS`` in the environment says how
many kills are spread over the commands (100), ``FULL`` how often each finds the disk full (2).
"""

import os
import random
import shutil
import subprocess

import pytest
from cluster.sharded_world import write_shards
from fork_client import Server
from keeping import COMMANDS, World
from same_bits import assert_equal

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
KILLS, FULL = int(os.environ.get("KILLS", "100")), int(os.environ.get("FULL", "2"))
ROOM = 2**28
"""Bytes of the small disk when it is not full."""
PAGE = 4096
OF_THE_DISK = ("No space left on device", "the disk is full", "cannot be had in")


@pytest.fixture(scope="module")
def server(cache, tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server"), cache) as server:
        yield server


@pytest.fixture(scope="module")
def world(server, photo_folder, tiny_clip, tmp_path_factory):
    """The photographs, as files and in shards, and a run over them."""
    root = tmp_path_factory.mktemp("world")
    known = root / "known.csv"
    rows = [line.split(",") for line in (photo_folder / "labels.csv").read_text().splitlines()[1:7]]
    known.write_text("path,labels,absent\n" + "".join(f"{path},{labels},*\n" for path, _, labels in rows))
    made = World(
        photo_folder, tiny_clip, write_shards(photo_folder / "images", root / "shards", 4), root / "run", known
    )
    assert server.run(COMMANDS["train"].words(made, made.trained)).code == 0
    return made


def room(command, folder, cache):
    """Make a folder for what a command writes; give its place in it, and the cache, of which a cold one has its own."""
    (folder / "out").mkdir(parents=True) if not command.makes_it else folder.mkdir(parents=True)
    if command.cold and command.name != "cache":
        shutil.copytree(cache, folder / "cache", ignore=shutil.ignore_patterns("maps"))
    return folder / command.name, folder / "cache" if command.cold else cache


@pytest.fixture(scope="module")
def undisturbed(server, world, cache, tmp_path_factory):
    """Give what a command leaves that nothing happens to, the seconds of a processor that it takes, and bytes."""
    found = {}

    def of(name):
        if name not in found:
            for _ in range(2):  # the second has loaded all that it needs
                out, own = room(COMMANDS[name], tmp_path_factory.mktemp("whole") / "room", cache)
                before = bytes_of(out.parent)
                ended = server.run(COMMANDS[name].words(world, out), own)
                assert ended.code == COMMANDS[name].code, ended.said
            found[name] = COMMANDS[name].kept(out), ended.worked, bytes_of(out.parent) - before
        return found[name]

    return of


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_goes_on_to_the_same_bits(name, server, world, undisturbed, cache, counts, tmp_path):
    command, (expected, seconds, _) = COMMANDS[name], undisturbed(name)
    generator, kills, ends, wanted = random.Random(name), 0, 0, max(1, round(KILLS * command.share / 1000))
    while kills < wanted:
        out, own = room(command, tmp_path / f"run-{ends}", cache)
        words = command.words(world, out)
        while True:
            after = generator.uniform(0, seconds * generator.choice((1, 0.3)))
            tried = server.run(command.goes_on(out, words), own, after=after)
            assert not tried.left, f"{tried.left} processes outlived the command that started them"
            if not tried.killed:
                break
            kills += 1
            assert not command.whole or not out.exists() or command.kept(out) == expected, "half of it was there"
        assert tried.code == command.code, f"after {kills} kills: {tried.said}"
        assert_equal(command.kept(out), expected)
        shutil.rmtree(out.parent)
        ends += 1
    counts.setdefault("kills_by_command", {})[name] = kills
    counts["kills"] = counts.get("kills", 0) + kills
    counts["commands_that_ended_equal"] = counts.get("commands_that_ended_equal", 0) + ends


@pytest.mark.parametrize("name", COMMANDS)
def test_a_clock_that_jumps_changes_nothing(name, server, world, undisturbed, cache, counts, tmp_path):
    out, own = room(COMMANDS[name], tmp_path / "room", cache)
    ended = server.run(COMMANDS[name].words(world, out), own, clock=1)
    assert ended.code == COMMANDS[name].code, ended.said
    assert_equal(COMMANDS[name].kept(out), undisturbed(name)[0])
    counts["commands_whose_clock_jumped"] = counts.get("commands_whose_clock_jumped", 0) + 1


@pytest.mark.parametrize("name", COMMANDS)
def test_two_that_write_to_one_place_leave_what_one_leaves(name, server, world, undisturbed, cache, counts, tmp_path):
    command = COMMANDS[name]
    out, own = room(command, tmp_path / "room", cache)
    words = command.words(world, out)
    ends = server.together([words, words], own)
    for ended in ends:
        assert ended.code in (command.code, 1, 2), ended.said
        assert ended.code == command.code or one_line(ended.said), ended.said
    assert command.code in [ended.code for ended in ends]
    assert_equal(command.kept(out), undisturbed(name)[0])
    counts["pairs_in_one_place"] = counts.get("pairs_in_one_place", 0) + 1


def one_line(said):
    """Tell whether a command that ended in an error said so in its last line, and said no more about it."""
    lines = [line for line in said.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ccd-fast: ")]
    return lines[-1] in told and "Traceback" not in said and "internal error" not in said


@pytest.fixture(scope="module")
def on_a_small_disk(cache, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    if subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], check=False).returncode:
        pytest.skip("this system gives no namespace of its own to a test that mounts a disk")
    with Server(tmp_path_factory.mktemp("server"), disk / "cache", disk) as server:
        server.ask(disk=ROOM, at=str(disk))  # it is mounted
        yield server, disk


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full_is_a_line_and_loses_nothing(name, on_a_small_disk, world, undisturbed, cache, counts):
    (server, disk), command, (expected, _, needs) = on_a_small_disk, COMMANDS[name], undisturbed(name)
    inside, generator = server.inside / str(disk).lstrip("/"), random.Random(name)
    full = tries = 0
    while tries < FULL or (not full and tries < 10 * FULL):
        shutil.rmtree(inside / "room", ignore_errors=True)
        shutil.rmtree(inside / "cache", ignore_errors=True)
        shutil.copytree(cache, inside / "cache", ignore=shutil.ignore_patterns("maps"))
        seen, _ = room(command, inside / "room", inside / "cache")
        out, own = disk / "room" / command.name, disk / ("room/cache" if command.cold else "cache")
        words, temporary = command.words(world, out), {"TMPDIR": str(disk)}
        server.ask(disk=used(inside) + generator.randrange(needs) // PAGE * PAGE, at=str(disk))
        ended = server.run(words, own, environment=temporary)
        server.ask(disk=ROOM, at=str(disk))
        tries += 1
        if ended.code != command.code:
            full += 1
            assert ended.code in (1, 2) and one_line(ended.said), ended.said
            assert any(words in ended.said for words in OF_THE_DISK), ended.said
            again = server.run(command.goes_on(seen, words), own, environment=temporary)
            assert again.code == command.code, again.said
        assert_equal(command.kept(seen), expected)
    counts["full_disks"] = counts.get("full_disks", 0) + full
    assert full, "the disk was never full"


def bytes_of(folder):
    """Give the bytes that files and folders take on a disk, at least."""
    return sum(-(-file.stat().st_size // PAGE) * PAGE + PAGE for file in folder.rglob("*"))


def used(folder):
    """Give the bytes of a small disk that are taken."""
    system = os.statvfs(folder)
    return (system.f_blocks - system.f_bfree) * system.f_frsize
