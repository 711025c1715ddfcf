"""Photographs for passes of thousands: a few hundred that were brought, each under many names, or drawn scenes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

ENDINGS = (".jpg", ".jpeg")
MOST_MIB = 24
"""Of what is brought."""
DRAWN = 256
"""Scenes that are drawn where nothing was brought."""


def found(folder: Path) -> list[Path]:
    """Give the photographs under a folder, by name."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())


def described(folder: Path) -> str:
    """Say in a few words what was brought."""
    files = found(folder)
    if not files:
        return f"none in {folder.name}: scenes of the demo world are drawn, which are smaller"
    return f"{len(files)} in {folder.name}, {sum(file.stat().st_size for file in files) / 2**20:.0f} MiB"


def bring(source: Path, folder: Path, most_mib: float = MOST_MIB) -> None:
    """Copy as many photographs of a folder as may be carried, spread over all of its names.

    Raises:
        FileNotFoundError: there is none.
    """
    files = found(source)
    if not files:
        raise FileNotFoundError(f"{source}: no photographs ({', '.join(ENDINGS)}) are under it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    room = most_mib * 2**20
    for number, file in enumerate(spread(files)):
        if (room := room - file.stat().st_size) < 0:
            break
        shutil.copyfile(file, folder / f"{number:04}.jpg")
    print(described(folder))


def spread(files: list[Path]) -> Iterator[Path]:
    """Give files in an order whose beginning is spread over all of them."""
    step = 1
    while step * step < len(files):
        step += 1
    return (files[place] for first in range(step) for place in range(first, len(files), step))


def linked(brought: Path, links: Path, count: int) -> tuple[list[Path], str]:
    """Give so many names of photographs, by links: decoding remembers none, so that the same file counts each time.

    Args:
        brought: folder of photographs; where it has none, scenes of the demo world are drawn.
        links: folder that the names are made in.
        count: how many.

    Returns:
        The names, and what they are.
    """
    files = found(brought)
    what = f"{len(files)} photographs" if files else "scenes of the demo world"
    files = files or found(drawn(min(count, DRAWN)))
    links.mkdir(parents=True, exist_ok=True)
    names = [links / f"{number:05}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        name.unlink(missing_ok=True)
        name.symlink_to(files[number % len(files)].resolve())
    return names, what


def drawn(count: int) -> Path:
    """Draw scenes of the demo world, or find them in the cache; give their folder."""
    from rich.console import Console

    from ccd_fast.demo import drawing
    from ccd_fast.runs import Stages

    return drawing.draw(0, Stages(Console(stderr=True)), count, 0).root
