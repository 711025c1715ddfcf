"""NUS-WIDE: the release's lists and label files, or the arrays of its re-crawled form.

Images without any label are normal here: they stay, without a positive class. The adapter finds out which form lies
on disk. There are no boxes.
"""

from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ccd_fast.datasets import tree
from ccd_fast.datasets.description import Description, Form
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.errors import UserError

_NAMES = (
    "airport animal beach bear birds boats book bridge buildings cars castle cat cityscape clouds computer coral cow "
    "dancing dog earthquake elk fire fish flags flowers food fox frost garden glacier grass harbor horses house lake "
    "leaf map military moon mountain nighttime ocean person plane plants police protest railroad rainbow reflection "
    "road rocks running sand sign sky snow soccer sports statue street sun sunset surf swimmers tattoo temple tiger "
    "tower town toy train tree valley vehicle water waterfall wedding whales window zebra"
)
CLASS_NAMES = tuple(_NAMES.split())
SPOKEN = {
    "coral": "coral reef",
    "dancing": "people dancing",
    "earthquake": "earthquake damage",
    "military": "military forces",
    "nighttime": "scene at night",
    "plane": "airplane",
    "police": "police officers",
    "protest": "protest march",
    "railroad": "railroad track",
    "reflection": "reflection in water",
    "running": "people running",
    "soccer": "soccer game",
    "sports": "sports event",
    "surf": "surfing wave",
}
RELEASE = Form(
    name="release",
    images={"train": 161_789, "test": 107_859},
    source="lms.comp.nus.edu.sg, page NUS-WIDE (ImageList.zip, Groundtruth.zip, Flickr.zip)",
    tree="ImageList/{Train,Test}Imagelist.txt\nGroundtruth/TrainTestLabels/Labels_<concept>_{Train,Test}.txt\n"
    "Flickr/<folder>/*.jpg",
)
RECRAWLED = Form(
    name="re-crawled",
    images={"train": 150_000, "test": 60_260},
    source="github.com/elijahcole/single-positive-multi-label, section NUSWIDE (four .npy files; Flickr.zip)",
    tree="formatted_{train,val}_images.npy\nformatted_{train,val}_labels.npy\nFlickr/…/*.jpg",
)
SPLITS = {"train": "Train", "test": "Test"}
RECRAWLED_SPLITS = {"train": "train", "test": "val"}
RECRAWLED_FILES = tuple(f"formatted_{split}_{what}.npy" for split in ("train", "val") for what in ("images", "labels"))
NOT_AN_ARRAY = (ValueError, KeyError, EOFError, OSError, SyntaxError, TokenError, RecursionError, OverflowError)
"""What numpy raises for a damaged file; it reads the header with Python's parser."""
FIRST_SURROGATE, LAST_SURROGATE, LAST_CODE_POINT = 0xD800, 0xDFFF, 0x10FFFF


def load(root: Path, split: str) -> ImageSet:
    """Load one split.

    Args:
        root: the folder that contains ``Flickr``, or the one above it if that is called ``NUS-WIDE`` or ``nuswide``.
        split: ``"train"`` or ``"test"``.

    Raises:
        UserError: the tree is not there or not whole, holds both forms, or its labels make no sense.
    """
    marks = ("ImageList", "Groundtruth", *RECRAWLED_FILES, "Flickr")
    root = tree.find_root(root, ("NUS-WIDE", "NUSWIDE", "nus-wide", "nuswide"), marks, "NUS-WIDE")
    form = find_form(root)
    tree.require(root / "Flickr", "Flickr.zip")
    if form is RELEASE:
        listing = root / "ImageList" / f"{SPLITS[split]}Imagelist.txt"
        entries = tree.lines(listing, "ImageList.zip")
    else:
        listing = root / f"formatted_{RECRAWLED_SPLITS[split]}_images.npy"
        entries = _read_names(listing)
    entries = [entry.replace("\\", "/") for entry in entries]
    tree.refuse_paths_that_lead_out(entries, listing, lambda k: f"entry {k + 1}")
    paths = tuple(f"Flickr/{entry}" for entry in entries)
    tree.require_some_image(root, paths, listing, "Flickr.zip")
    if form is RELEASE:
        truth = _read_label_files(root / "Groundtruth" / "TrainTestLabels", SPLITS[split], len(paths))
    else:
        truth = _read_label_matrix(root / f"formatted_{RECRAWLED_SPLITS[split]}_labels.npy", len(paths))
    return ImageSet(
        name=DESCRIPTION.name,
        split=split,
        root=root,
        paths=paths,
        class_names=DESCRIPTION.class_names,
        prompt_names=DESCRIPTION.prompt_names,
        truth=truth,
        known=np.ones(len(paths), dtype=bool),
        official=form.images[split],
    )


def find_form(root: Path) -> Form:
    """Find out which form lies in the folder that contains ``Flickr``.

    Raises:
        UserError: both, or neither.
    """
    release = [name for name in ("ImageList", "Groundtruth") if (root / name).is_dir()]
    recrawled = [name for name in RECRAWLED_FILES if (root / name).is_file()]
    if release and recrawled:
        raise UserError(
            f"{root}: both forms of NUS-WIDE are there, the release ({release[0]}) and the re-crawled one "
            f"({recrawled[0]}): move one of them elsewhere"
        )
    if not release and not recrawled:
        raise UserError(
            f"{root}: no labels of NUS-WIDE there: neither ImageList and Groundtruth nor formatted_train_images.npy"
        )
    return RELEASE if release else RECRAWLED


def _read_label_files(folder: Path, part: str, images: int) -> NDArray[np.bool_]:
    """Read the release's label files, a line of 0 or 1 an image, into (N, 81)."""
    truth = np.zeros((images, len(CLASS_NAMES)), dtype=bool)
    for c, name in enumerate(CLASS_NAMES):
        file = folder / f"Labels_{name}_{part}.txt"
        content = np.frombuffer(tree.read(file, "Groundtruth.zip"), dtype=np.uint8)
        is_digit = (content == ord("0")) | (content == ord("1"))
        is_blank = np.isin(content, np.frombuffer(b" \t\r\n", dtype=np.uint8))
        if not (is_digit | is_blank).all() or (is_digit[1:] & is_digit[:-1]).any():
            raise UserError(f"{file}: must hold a line of 0 or 1 for each image, and nothing else")
        labels = content[is_digit] == ord("1")
        if len(labels) != images:
            raise UserError(f"{file}: {len(labels)} lines, but {part}Imagelist.txt names {images} images")
        truth[:, c] = labels
    return truth


def _read_names(file: Path) -> list[str]:
    """Read an array of paths; numpy's strings or bytes, never Python objects."""
    array = _open_array(file, kinds="US", shape=(None,), what="paths as strings")
    if array.dtype.kind == "U":
        codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if ((codes > LAST_CODE_POINT) | ((codes >= FIRST_SURROGATE) & (codes <= LAST_SURROGATE))).any():
            raise UserError(f"{file}: holds numbers that are no characters: the file is damaged")
        return [str(name) for name in array.tolist()]
    try:
        return [name.decode("utf-8") for name in array.tolist()]
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: a path is not UTF-8: {error.object[:80]!r}") from error


def _read_label_matrix(file: Path, images: int) -> NDArray[np.bool_]:
    array = _open_array(file, kinds="biuf", shape=(images, len(CLASS_NAMES)), what="labels as numbers")
    if not ((array == 0) | (array == 1)).all():
        raise UserError(f"{file}: labels must be 0 or 1")
    return np.asarray(array == 1)


def _open_array(file: Path, kinds: str, shape: tuple[int | None, ...], what: str) -> NDArray[np.generic]:
    """Map an array into memory, after a look at its header."""
    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    tree.require(file, "the re-crawled form")
    try:
        with file.open("rb") as handle:
            found, _, dtype = headers[npy.read_magic(handle)](handle)
        if dtype.hasobject:
            raise UserError(
                f"{file}: holds pickled Python objects, which could run code when read, so it is not read; "
                f"save it again with {what}"
            )
        array: NDArray[np.generic] = np.load(file, mmap_mode="r", allow_pickle=False)
    except NOT_AN_ARRAY as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file}: cannot be read as a numpy array: {reason}") from error
    fits = len(found) == len(shape) and all(want in (None, have) for want, have in zip(shape, found, strict=True))
    if not fits or dtype.kind not in kinds:
        wanted = "×".join("N" if size is None else str(size) for size in shape)
        raise UserError(f"{file}: holds {'×'.join(map(str, found)) or 'one'} of {dtype}, but must hold {wanted} {what}")
    return array


DESCRIPTION = Description(
    name="nus",
    title="NUS-WIDE",
    class_names=CLASS_NAMES,
    prompt_names=tuple(SPOKEN.get(name, name) for name in CLASS_NAMES),
    forms=(RELEASE, RECRAWLED),
    rules="images without any label stay",
    load=load,
    recipe="nus",
)
