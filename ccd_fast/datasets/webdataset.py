"""WebDataset shards: tar files whose members ``KEY.jpg``, ``KEY.json`` and so on make a sample, read in place.

An image is a path below its shard, ``train-000.tar/cat-1.jpg``. What is known of it stands beside it in the shard:
``KEY.cls``, the number of its class; ``KEY.json`` with ``labels`` or ``label``; or ``KEY.txt``, where most texts of the
data set are class names and nothing else (otherwise they are captions, which nothing here needs). The split is a word
in the shard's path: ``val/000.tar``, ``photos-test-000.tar``.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from ccd_fast.datasets import tree
from ccd_fast.datasets.description import Description, Form, Yours
from ccd_fast.datasets.folder import read_class_names
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import SPELLINGS, Indices, Labels, Value, assembled, overridden
from ccd_fast.datasets.listing import SUFFIXES, is_picture, listed, tell
from ccd_fast.errors import UserError
from ccd_fast.prompts import names_of
from ccd_fast.text import decoded, lines_of
from ccd_fast.views import shards
from ccd_fast.views.shards import Place

COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
MAX_BYTES = 2**20
"""Of a member that holds labels."""

Members = Mapping[str, Place]


class _Json(msgspec.Struct):
    """What is wanted of ``KEY.json``; the decoder passes over the rest."""

    labels: Value = None
    label: Value = None


def load(root: Path, split: str, classes: Path | None, truth: Path | None) -> ImageSet:
    """Load one split.

    Args:
        root: a folder of shards, any tree.
        split: ``"train"`` or ``"test"``.
        classes: text file of class names, one a line.
        truth: table of known labels in place of those in the shards, or None; its paths are as
            ``shards/000.tar/cat-1.jpg``, relative to the root.

    Raises:
        UserError: no shards, no classes, a damaged or hostile shard, or labels that do not fit.
    """
    if classes is None:
        raise UserError("shards need --classes FILE, a text file of class names, one a line")
    prompt_names = read_class_names(classes)
    names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    files = _members(root)
    images = _images(files, root)
    labels = _labels(files, images, Indices(names), labelled=truth is None)
    if truth is not None:
        labels = overridden(labels, truth, images, root, names)
    return assembled("webdataset", root, split, images, labels, names, prompt_names)


def find(root: Path) -> list[str]:
    """List the images in all shards below a folder.

    Raises:
        UserError: there are none, or a shard is damaged or hostile.
    """
    return _images(_members(root), root)


def images_of(shard: Path) -> list[str]:
    """List the images in one shard, by name.

    Raises:
        UserError: the shard is damaged or hostile.
    """
    return sorted(name for name in _safe(shard) if _is_image(name))


def _members(root: Path) -> Members:
    """List the members of all shards by path relative to the root."""
    all_files = listed(root)
    tell(root, all_files)
    found = [path for path in all_files.files if shards.is_shard(path)]
    if not found:
        packed = [path for path in all_files.files if path.lower().endswith(COMPRESSED)]
        mend = f"; {packed[0]} is compressed: unpack it to a plain .tar first" if packed else ""
        raise UserError(f"--data-root {root}: no shards in it (*{shards.ENDING}){mend}")
    return {f"{path}/{name}": place for path in found for name, place in _safe(root / path).items()}


def _safe(shard: Path) -> Members:
    """List the members of a shard, none of which leads out of it."""
    found = shards.members(shard)
    tree.refuse_paths_that_lead_out(found, shard, lambda k: f"member {k + 1}")
    return found


def _images(files: Members, root: Path) -> list[str]:
    images = sorted(path for path in files if _is_image(path))
    if not images:
        raise UserError(f"--data-root {root}: no images in its shards ({', '.join(sorted(SUFFIXES))})")
    return images


def _is_image(path: str) -> bool:
    return is_picture(path) and not any(part.startswith(".") for part in PurePosixPath(path).parts)


def _labels(files: Members, images: list[str], indices: Indices, labelled: bool) -> Labels:
    """Gather the split of each image, and what its sample says of it, if that is asked for."""
    values = _values(files, indices) if labelled else {}
    splits: dict[Path, str] = {}
    labels: Labels = {}
    for path in images:
        shard = files[path].shard
        if shard not in splits:
            splits[shard] = split_of(path[: path.lower().index(f"{shards.ENDING}/")])
        classes = values.get(_key(path))
        if splits[shard] or classes is not None:
            labels[path] = (splits[shard], classes)
    return labels


def split_of(shard: str) -> str:
    """Find the split in the words of a path; ``""`` where there is none."""
    words = re.split(r"[^a-z]+", shard.lower())
    return next((SPELLINGS[word] for word in reversed(words) if word in SPELLINGS), "")


def _key(path: str) -> str:
    """Give what the members of a sample share: the path up to the first dot of its last part."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _values(files: Members, indices: Indices) -> dict[str, list[int]]:
    """Read the labels of the samples, from their cls or json members, else from their texts."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for path in files:
        by_kind[path.rpartition(".")[2].lower()].append(path)
    found = _read(files, by_kind["cls"], indices, lambda text: text.strip())
    found |= _read(files, by_kind["json"], indices, _from_json)
    if found or not by_kind["txt"]:
        return found
    texts = [_text(content) for content in shards.read((files[path] for path in by_kind["txt"]), MAX_BYTES)]
    sure = sum(all(indices.knows(name) for name in _lines(text)) for text in texts if text is not None)
    if 2 * sure <= len(texts):
        return {}  # captions
    return _read(files, by_kind["txt"], indices, lambda text: [*_lines(text)])


def _lines(text: str) -> list[str]:
    """Give the names of a text, a line or joined by bars."""
    return [name.strip() for line in lines_of(text) for name in line.split("|") if name.strip()]


def _from_json(text: str) -> Value:
    content = msgspec.json.decode(text, type=_Json)
    return content.label if content.labels is None else content.labels


def _read(files: Members, paths: list[str], indices: Indices, value: Callable[[str], Value]) -> dict[str, list[int]]:
    """Read members that hold labels; one without any says nothing of its sample."""
    found: dict[str, list[int]] = {}
    contents = shards.read((files[path] for path in paths), MAX_BYTES)
    for path, content in zip(paths, contents, strict=True):
        text = decoded(content, path)
        try:
            classes = indices.of(value(text), path)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read as labels: {error}") from error
        if classes is not None:
            found[_key(path)] = classes
    return found


def _text(content: bytes) -> str | None:
    try:
        return decoded(content, "")
    except UserError:
        return None


DESCRIPTION = Description(
    name="webdataset",
    title="WebDataset shards",
    class_names=(),
    prompt_names=(),
    forms=(
        Form(
            name="any tree of plain tar files, read in place",
            images={},
            source="your own photographs",
            tree="train-000.tar: cat-1.jpg, cat-1.cls (a number) or cat-1.json (labels: names or numbers)\n"
            "test-000.tar: … (train, val or test in the path of a shard: its split)\n"
            "classes.txt (--classes)",
        ),
    ),
    rules="labels serve evaluation only; without splits every image is for training, and the labelled ones for testing "
    "too; .txt members are labels where most of them are class names, else captions",
    yours=Yours(load, find),
)
