"""The real data sets, where they are: ``$CCD_DATA/<name>``, or ``$CCD_DATA`` itself."""

import os
from pathlib import Path

import pytest

from ccd_fast.datasets import DATASETS, load
from ccd_fast.errors import UserError

HOME = os.environ.get("CCD_DATA")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, described in DATASETS.items() if described.load])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_official_split_has_the_official_number_of_images(name, split):
    if HOME is None:
        pytest.skip("CCD_DATA does not name a folder of real data sets")
    root = next(path for path in (Path(HOME) / name, Path(HOME)) if path.is_dir())
    try:
        images = load(name, root, split)
    except UserError as error:
        if " there: looked for " not in str(error):
            raise
        pytest.skip(str(error))
    assert len(images) == images.official
    assert all(file.is_file() for file in images.files_of_all()[:: len(images) // 50])
    assert images.truth.any(axis=0).all()
