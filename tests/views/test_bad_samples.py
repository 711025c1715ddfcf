"""Files that only the decoder finds to be bad: found one by one, the others kept in their rows."""

import numpy as np
import pytest
import torch

from ccd_fast.views import installed_backends, open_backend
from ccd_fast.views.bad_samples import decode_each
from tests.views import samples

GOOD = samples.LIKE_THE_SCENE["jpeg"]
PNG = samples.LIKE_THE_SCENE["png"]


def _marker_without_end() -> bytes:
    """A JPEG whose first scan has a header of a wrong length: DALI's parser does not say which sample that is."""
    at = GOOD.index(b"\xff\xda")
    return GOOD[: at + 2] + b"\0\3\0" + GOOD[at + 4 :]


def _wrong_pixels() -> bytes:
    """A PNG whose pixels are no zlib stream: DALI names the sample."""
    at = PNG.index(b"IDAT") + 4
    return PNG[:at] + b"\xff" * 40 + PNG[at + 40 :]


BAD = {"scan header": _marker_without_end(), "pixels": _wrong_pixels()}


@pytest.fixture(scope="module", params=installed_backends())
def backend(request):
    return open_backend(request.param, 2)


@pytest.fixture
def decode(backend, tmp_path):
    def call(contents):
        files = [tmp_path / f"{index}.jpg" for index in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        return backend.decode(files, np.arange(100, 100 + len(contents)))

    return call


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("where", [{0}, {7}, {3}, {2, 3}, {0, 4, 7}, {1, 2, 3, 4, 5, 6, 7}, set(range(8))])
def test_bad_samples_are_found_wherever_they_are(backend, decode, kind, where):
    contents = [BAD[kind] if index in where else (GOOD if index % 2 else PNG) for index in range(8)]
    photographs = decode(contents)
    assert photographs.unreadable == {100 + index: "cannot be decoded" for index in where}
    np.testing.assert_array_equal(photographs.rows, [100 + index for index in range(8) if index not in where])
    kept = [content for index, content in enumerate(contents) if index not in where]
    views = backend.whole(photographs, 32, "bilinear")
    assert views.shape == (len(kept), 32, 32, 3)
    assert torch.equal(views, backend.whole(decode(kept), 32, "bilinear"))


def test_bad_samples_do_not_shift_the_pictures_that_pillow_decodes(backend, decode):
    gif = samples.LIKE_THE_SCENE["gif"]
    photographs = decode([gif, BAD["pixels"], GOOD, gif, BAD["scan header"]])
    np.testing.assert_array_equal(photographs.rows, [100, 102, 103])
    views = backend.whole(photographs, 32, "bilinear")
    assert torch.equal(views[0], views[2])
    assert torch.equal(views[1:2], backend.whole(decode([GOOD]), 32, "bilinear"))


class Decoder:
    """Fails a batch with a bad sample, and says which it is, or not; keeps the sizes of the batches."""

    def __init__(self, bad: set[int], names: bool) -> None:
        self.bad, self.names, self.asked = bad, names, []

    def __call__(self, batch: list[int]) -> list[str]:
        self.asked.append(len(batch))
        wrong = [place for place, one in enumerate(batch) if one in self.bad]
        if wrong:
            raise RuntimeError(f"Error in sample #{wrong[0]}" if self.names else "Error in a batch")
        return [str(one) for one in batch]


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("bad", [set(), {0}, {31}, {20}, {3, 4, 30}, set(range(32))])
def test_each_bad_sample_of_a_batch_is_found(bad, names):
    found = decode_each(range(32), Decoder(bad, names), at_once=12)
    assert found == [None if one in bad else str(one) for one in range(32)]


@pytest.mark.parametrize(("names", "most"), [(True, 64), (False, 96)])
def test_one_bad_sample_costs_few_calls_of_the_decoder(names, most):
    decoder = Decoder({20}, names)
    decode_each(range(32), decoder, at_once=32)
    assert sum(decoder.asked) < most, decoder.asked  # one by one: 32 + 32 + 31, in 34 calls without parallel work
    assert len(decoder.asked) <= 12
