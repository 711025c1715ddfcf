"""Wheels for a machine without a network: downloaded and cut into pieces here, joined and installed there.

The pieces lie in folders ``.wheels/1``, ``.wheels/2`` … of at most 52 MiB, each of which is carried in a call of its
own. Any folder of wheels will do, whole or as ``NAME.whl.partNNN``.
"""

import hashlib
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from card.plan import BROUGHT, is_installed
from card.setting import WHEELS, Setting

FOLDER_MIB = 52
"""A call carries 64 MiB, the repository among them."""
PIECE_MIB = 20
SUMS = "SHA256SUMS"
SMALL = (
    *("open_clip_torch", "ftfy", "wcwidth", "pydantic", "annotated-types", "typing-inspection", "typing-extensions"),
    *("msgspec", "tomli", "tomli-w"),
)
"""What a machine for cards lacks: 6 MB."""
DALI = ("nvidia-dali-cuda130", "nvidia-nvjpeg", "nvidia-nvjpeg2k-cu13", "nvidia-nvtiff-cu13")
"""With what it wants 268 MB."""
FOLLOWERS = (
    *("pydantic-core", "nvidia-nvimgcodec-cu13", "nvidia-libnvcomp-cu13", "astunparse", "gast", "six", "optree"),
    *("nvtx", "makefun", "libcst"),
)
"""What those want, in a version that they name."""
LIBCS = (39, 35, 34, 31, 28, 27, 24, 17)
"""Versions of glibc: pip matches each of them exactly."""


def measure(setting: Setting) -> None:
    """Install what was brought, and say what of it can be imported."""
    wheels = setting.root / WHEELS
    if not any(wheels.rglob("*.whl*")):
        setting.ledger.left_out("wheels", f"there are none in {WHEELS}")
        return
    with tempfile.TemporaryDirectory() as work:
        whole = join(wheels, Path(work))
        install(whole, setting.work / "site")
    sys.path.insert(0, str(setting.work / "site"))
    importlib.invalidate_caches()
    for module, distribution in BROUGHT.items():
        if is_installed(module):
            setting.ledger.figure(f"{module} can be found", _version(distribution))
        else:
            setting.ledger.left_out(module, f"neither here nor in {WHEELS}")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def brought(folder: Path) -> set[str]:
    """Name the modules of :data:`card.plan.BROUGHT` whose wheels lie in a folder, whole or in pieces."""
    names = {file.name.split("-")[0].lower() for file in folder.rglob("*.whl*")}
    return {module for module, distribution in BROUGHT.items() if distribution in names}


def described(folder: Path) -> str:
    """Say in a few words what lies in a folder of wheels."""
    files = list(folder.rglob("*.whl*"))
    if not files:
        return f"none in {folder.name}"
    wheels = {file.name.split(".whl")[0] for file in files}
    size = sum(file.stat().st_size for file in files) / 2**20
    dali = "with DALI" if "nvidia.dali" in brought(folder) else "without DALI"
    return f"{len(wheels)} in {folder.name}, {size:.0f} MiB, {dali}"


def cut(wheels: Iterable[Path], folder: Path, folder_mib: int = FOLDER_MIB, piece_mib: int = PIECE_MIB) -> list[Path]:
    """Cut wheels into pieces, and share them out to folders 1, 2, … of at most so many MiB; give the folders.

    The first folder gets the sums of the whole wheels.
    """
    if piece_mib > folder_mib:
        raise ValueError(f"pieces of {piece_mib} MiB do not fit into folders of {folder_mib}")
    folders, used, sums = [folder / "1"], 0, []
    folders[0].mkdir(parents=True)
    for wheel in sorted(wheels):
        content = wheel.read_bytes()
        sums.append(f"{hashlib.sha256(content).hexdigest()}  ./{wheel.name}\n")
        for number, first in enumerate(range(0, len(content), piece_mib << 20)):
            piece = content[first : first + (piece_mib << 20)]
            if used + len(piece) > folder_mib << 20:
                folders.append(folder / str(len(folders) + 1))
                folders[-1].mkdir()
                used = 0
            (folders[-1] / f"{wheel.name}.part{number:03}").write_bytes(piece)
            used += len(piece)
    (folders[0] / SUMS).write_text("".join(sums))
    return folders


def join(folder: Path, into: Path) -> list[Path]:
    """Put the wheels of a folder and its folders together; give them.

    Raises:
        FileNotFoundError: a piece is missing.
        ValueError: a wheel is not what was cut.
    """
    for wheel in folder.rglob("*.whl"):
        shutil.copyfile(wheel, into / wheel.name)
    parts = {piece.name: piece for piece in folder.rglob("*.whl.part*")}
    for name in sorted({name.rsplit(".part", 1)[0] for name in parts}):
        own = sorted(part for part in parts if part.rsplit(".part", 1)[0] == name)
        if own != [f"{name}.part{number:03}" for number in range(len(own))]:
            raise FileNotFoundError(f"{folder}: pieces of {name} are missing: there are only {', '.join(own)}")
        (into / name).write_bytes(b"".join(parts[part].read_bytes() for part in own))
    for sums in folder.rglob(SUMS):
        for line in sums.read_text().splitlines():
            wanted, name = line.split()
            file = into / Path(name).name
            if not file.is_file():
                raise FileNotFoundError(f"{folder}: no piece of {file.name} is here")
            if hashlib.sha256(file.read_bytes()).hexdigest() != wanted:
                raise ValueError(f"{folder}: {file.name} is not what was cut: a piece is missing or damaged")
    return sorted(into.glob("*.whl"))


def install(wheels: Sequence[Path], site: Path) -> None:
    """Install wheels into a folder, without a network and without what they ask for."""
    words = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir"]
    subprocess.run([*words, "--upgrade", "--target", str(site), *map(str, wheels)], check=True, stdout=sys.stderr)


def bring(folder: Path, python: str, dali: bool) -> None:
    """Download what a machine for cards lacks, and cut it into the folders of :func:`cut`; others there are removed.

    Args:
        folder: of the pieces.
        python: version of the machine's Python, such as ``3.12``.
        dali: with DALI.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        folders = cut(download(python, dali, Path(work)), folder)
    print(f"{described(folder)}: {', '.join(f'{each.parent.name}/{each.name}' for each in folders)}")


def download(python: str, dali: bool, into: Path) -> list[Path]:
    """Download wheels for Linux on x86-64; give them. Arguments as of :func:`bring`."""
    _get(python, [*SMALL, *(DALI if dali else ())], into)
    _get(python, [requirement for wheel in sorted(into.glob("*.whl")) for requirement in followers(wheel)], into)
    return sorted(into.glob("*.whl"))


def followers(wheel: Path) -> list[str]:
    """Give what a wheel wants of :data:`FOLLOWERS`, with the version that it names."""
    with zipfile.ZipFile(wheel) as content:
        name = next(name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        lines = content.read(name).decode().splitlines()
    wanted = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    plain = [re.sub(r"\[[^]]*\]|\s", "", each) for each in wanted if "extra ==" not in each]
    return [each.split(";")[0] for each in plain if re.split(r"[<>=!~;(]", each)[0] in FOLLOWERS]


def _get(python: str, requirements: Sequence[str], into: Path) -> None:
    words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(into)]
    words += ["--python-version", python, "--implementation", "cp"]
    names = [*(f"manylinux_2_{version}_x86_64" for version in LIBCS), "manylinux2014_x86_64", "manylinux1_x86_64"]
    subprocess.run([*words, *(word for name in names for word in ("--platform", name)), *requirements], check=True)
