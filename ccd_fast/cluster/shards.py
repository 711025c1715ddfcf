"""The shards of a data set, and one of them brought to where its photographs can be decoded.

A shard is what an actor does in one go: a tar file, a Parquet file of photographs or of their paths, or so many
photographs of a folder.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from ccd_fast.cluster.storage import Place
from ccd_fast.datasets import DATASETS, ImageSet, tree, webdataset
from ccd_fast.datasets.listing import is_picture, listed
from ccd_fast.errors import UserError, nearest
from ccd_fast.machine import folder_in_the_making
from ccd_fast.prompts import names_of
from ccd_fast.views.shards import is_shard

PHOTOGRAPHS = 1000
"""Photographs of a folder that make a shard: seconds of a GPU's work, so that little is lost with an actor."""
KINDS = ("folder", "imagefolder", "webdataset", "parquet")
"""What a data set may be."""
ROWS = 64
"""Rows of a Parquet file that are in memory at a time."""
CONTENTS = ("image", "bytes", "content", "jpg", "jpeg", "png", "webp")
PATHS = ("path", "file", "file_name", "image_path", "url")
KEYS = ("key", "__key__", *PATHS)
"""Columns of Parquet files: the photograph itself, where it is, and what it is called; the first that is there."""


@dataclass(frozen=True)
class Shard:
    """A part of a data set.

    Attributes:
        name: the path of its file below the data set's, or ``part-00000``; what is written for it is called so.
        kind: ``tar``, ``parquet`` or ``files``.
        files: paths below the data set's root, of ``files``.
    """

    name: str
    kind: str
    files: tuple[str, ...] = ()

    def as_json(self) -> str:
        """Give it as a line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Shard":
        """Read what :meth:`as_json` gave."""
        known = json.loads(line)
        return cls(known["name"], known["kind"], tuple(known["files"]))


def find(root: Place, dataset: str | None) -> list[Shard]:
    """List the shards of a data set.

    Args:
        root: where it is.
        dataset: one of :data:`KINDS`; None takes what is there: tar files, Parquet files, or else photographs.

    Raises:
        UserError: there are none, or the data set is another.
    """
    if dataset is not None and dataset not in KINDS:
        raise UserError(f"--dataset {dataset}: over shards it is one of {', '.join(KINDS)}" + nearest(dataset, KINDS))
    if root.folder is not None and not root.folder.is_dir():
        raise UserError(f"{root.at}: no such folder")
    names = listed(root.folder).files if root.folder is not None else root.names()
    tars = [name for name in names if is_shard(name)]
    tables = [name for name in names if name.lower().endswith(".parquet")]
    if dataset == "webdataset" or (dataset is None and tars):
        found = [Shard(name, "tar") for name in tars]
    elif dataset == "parquet" or (dataset is None and tables):
        found = [Shard(name, "parquet") for name in tables]
    else:
        found = _parts(_pictures(root, names, dataset or "folder"))
    if not found:
        raise UserError(f"{root.at}: no {'photographs' if dataset is None else f'shards of a {dataset}'} in it")
    return found


def digest(shards: Sequence[Shard]) -> str:
    """Give a hash of what the parts of folders hold: other photographs make other parts. Empty for tar and Parquet."""
    held = [shard.as_json() for shard in shards if shard.files]
    return hashlib.sha256("\n".join(held).encode()).hexdigest()[:16] if held else ""


def _pictures(root: Place, names: Sequence[str], dataset: str) -> list[str]:
    yours = DATASETS[dataset].yours
    if root.folder is not None and yours is not None:
        return yours.find(root.folder)
    return [name for name in names if is_picture(name)]


def _parts(paths: Sequence[str]) -> list[Shard]:
    starts = range(0, len(paths), PHOTOGRAPHS)
    return [Shard(f"part-{n:06d}", "files", tuple(paths[at : at + PHOTOGRAPHS])) for n, at in enumerate(starts)]


@dataclass(frozen=True)
class Staged:
    """A shard whose photographs are on this machine's disk.

    Attributes:
        images: N photographs that can be decoded.
        keys: what each is called in the labels; of tar files and folders the path below the data set's root.
    """

    images: ImageSet
    keys: tuple[str, ...]

    def under_their_keys(self) -> ImageSet:
        """Give the same photographs by their keys: to be named, not to be decoded."""
        return ImageSet(**{**vars(self.images), "paths": self.keys})


@contextmanager
def staged(shard: Shard, root: Place, prompt_names: Sequence[str]) -> Iterator[Staged]:
    """Bring a shard to this machine where it is not there yet, for as long as the block runs.

    A tar file or folder on a disk is read in place. One elsewhere is fetched, and so are the photographs of a Parquet
    file: into a temporary folder, so that whatever the shard is, it is decoded as all photographs are.

    Args:
        shard: one of the data set's.
        root: of the data set.
        prompt_names: as :attr:`ImageSet.prompt_names` holds them.

    Raises:
        UserError: the shard is damaged, or not what it is called.
        RunError: it cannot be fetched.
    """
    with folder_in_the_making(Path(tempfile.gettempdir()), "ccd-fast-shard-") as temporary:
        keys: Sequence[str]
        paths: Sequence[str]
        if shard.kind == "parquet":
            keys, paths, at = *_unpacked(shard, root, temporary), temporary
        else:
            at = root.folder or _fetched(shard, root, temporary)
            keys = paths = _inside(shard, at)
        yield Staged(images_of(at, paths, prompt_names), tuple(keys))


def images_of(root: Path, paths: Sequence[str], prompt_names: Sequence[str]) -> ImageSet:
    """Put photographs together, of which nothing is known, in the order that they have."""
    class_names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    unknown = np.zeros(len(paths), dtype=bool)
    return ImageSet("shard", "test", root, tuple(paths), class_names, tuple(prompt_names), None, unknown)


def _inside(shard: Shard, at: Path) -> Sequence[str]:
    if shard.kind == "files":
        return shard.files
    found = [f"{shard.name}/{name}" for name in webdataset.images_of(at / shard.name)]
    if not found:
        raise UserError(f"{shard.name}: no photographs in it")
    return found


def _fetched(shard: Shard, root: Place, to: Path) -> Path:
    for name in shard.files or (shard.name,):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            root.fetch(name, to / name)
        except FileNotFoundError:
            if shard.kind == "tar":
                raise UserError(f"{root.at}/{name}: is gone") from None
    return to


def _unpacked(shard: Shard, root: Place, to: Path) -> tuple[list[str], list[str]]:
    """Write the photographs of a Parquet file into a folder; give their keys and, in it, their names."""
    keys: list[str] = []
    try:
        with root.opened(shard.name) as file:
            table = pyarrow.parquet.ParquetFile(file)
            names = table.schema_arrow.names
            content, path, key = (next((c for c in some if c in names), None) for some in (CONTENTS, PATHS, KEYS))
            if content is None and path is None:
                some = ", ".join((*CONTENTS, *PATHS))
                raise UserError(f"{shard.name}: no column of photographs or of their paths ({some})")
            wanted = [name for name in dict.fromkeys((content, path, key)) if name is not None]
            for rows in table.iter_batches(ROWS, columns=wanted):
                for row in rows.to_pylist():
                    held, told = _held(row[content]) if content is not None else (None, "")
                    where = str(row[path]) if path is not None and row[path] is not None else told
                    if content is None:
                        held = _at(where, root)
                    if held is not None:
                        (to / f"{len(keys):07d}").write_bytes(held)
                    named = row[key] if key is not None else where
                    keys.append(str(named) if named not in (None, "") else f"{shard.name}#{len(keys)}")
    except FileNotFoundError as error:
        raise UserError(f"{root.at}/{shard.name}: is gone") from error
    except pyarrow.ArrowException as error:
        raise UserError(f"{shard.name}: not a Parquet file, or damaged: {error}") from error
    return keys, [f"{row:07d}" for row in range(len(keys))]


def _held(value: Any) -> tuple[bytes | None, str]:
    """Give the bytes in a cell, and the path beside them as Hugging Face's data sets have it."""
    if isinstance(value, dict):
        held, path = value.get("bytes"), value.get("path")
        return (held if isinstance(held, bytes) else None), str(path or "")
    return (value if isinstance(value, bytes) else None), ""


def _at(where: str, root: Place) -> bytes | None:
    """Read a photograph by its path, below the root or not; None where there is none."""
    place, name = root, where
    if "://" in where or PurePosixPath(where).is_absolute():
        above, _, name = where.rpartition("/")
        place = Place(above)
    elif tree.leads_out(where):
        raise UserError(f"{where!r}: leads out of {root.at}: paths are written relative to it")
    if not name:
        return None
    try:
        return place.read(name)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
