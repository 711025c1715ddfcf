"""What DALI is asked for on a GPU, told from a card that is none; the decoding itself is the host's."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pretend_card import CARD, pretend_card

from ccd_fast.errors import UserError
from ccd_fast.kernels import cupy_kernels, numpy_twins
from ccd_fast.views import gpu_decoder, installed_backends, jitter_factors, open_backend
from ccd_fast.views.bad_samples import at_once
from tests.kernels import agreement
from tests.views import samples

if "dali" not in installed_backends():
    pytest.skip("nvidia-dali is not installed", allow_module_level=True)

from ccd_fast.views import dali as views_by_dali

GOOD, GIF = samples.LIKE_THE_SCENE["jpeg"], samples.LIKE_THE_SCENE["gif"]
AT = GOOD.index(b"\xff\xda")
BAD = GOOD[: AT + 2] + b"\0\3\0" + GOOD[AT + 4 :]
REAL = views_by_dali.dali


class Decoded:
    """A picture as DALI gives it on a GPU."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape = pixels, pixels.shape
        self.__cuda_array_interface__ = {"data": (pixels.ctypes.data, False)}

    def evaluate(self):
        return self


class FakeDali:
    """DALI on a GPU: remembers what it was asked for, and decodes on the host."""

    EvalMode = REAL.EvalMode

    def __init__(self) -> None:
        self.asked, self.sliced, self.contexts = [], [], []
        self.decoders = SimpleNamespace(image=self.decode)
        self.as_batch = lambda given, **_: given

    def EvalContext(self, **how):  # noqa: N802  as DALI calls it
        self.contexts.append(how)
        return contextlib.nullcontext()

    def decode(self, encoded, **how):
        assert REAL.EvalMode.current() is REAL.EvalMode.sync_cpu
        self.asked.append((len(encoded), how))
        same = {key: how[key] for key in ("output_type", "jpeg_fancy_upsampling")}
        decoded = REAL.decoders.image(REAL.as_batch(encoded), device="cpu", **same).evaluate()
        pictures = [Decoded(np.asarray(tensor.evaluate()).copy()) for tensor in decoded.tensors]
        batch = SimpleNamespace(tensors=pictures, _tensors=pictures)
        batch.evaluate = lambda: batch
        return batch

    def as_tensor(self, picture, layout, device):
        assert (layout, device) == ("HWC", "gpu")
        return Decoded(picture)

    def slice(self, sources, start, end, axes):
        self.sliced.append((len(sources), start, end, axes))
        return sources

    def resize(self, pictures, size, **_):
        return torch.zeros((len(pictures), *size, 3), dtype=torch.uint8, device="cuda")


@pytest.fixture
def dali(monkeypatch):
    fake = FakeDali()
    monkeypatch.setattr(views_by_dali, "dali", fake)
    monkeypatch.setattr(views_by_dali, "TorchStream", lambda _: SimpleNamespace(handle=1, device_id=0))
    monkeypatch.setattr(views_by_dali, "_to_torch", lambda pictures: pictures)
    with pretend_card():
        yield fake


@pytest.fixture
def decode(tmp_path):
    def call(backend, contents):
        files = [tmp_path / f"{index}.jpg" for index in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        return backend.decode(files, np.arange(len(files)))

    return call


def test_by_default_the_hardware_takes_all_that_it_can(dali, decode):
    backend = views_by_dali.DaliViews(16, "cuda")
    decode(backend, [GOOD])
    how = dali.asked[0][1]
    assert (how["device"], how["hw_decoder_load"], how["affine"]) == ("gpu", 1.0, False)
    assert how["device_memory_padding"] < 2**24  # DALI's own
    (context,) = dali.contexts
    assert (context["num_threads"], context["device_id"]) == (gpu_decoder.THREADS, 0)
    assert backend.name == "dali, hw_decoder_load 1, resized by our kernel"


@pytest.mark.parametrize(("given", "load"), [("0", 0.0), ("0.65", 0.65), ("1", 1.0)])
def test_the_environment_sets_the_share_and_the_name_says_so(dali, decode, monkeypatch, given, load):
    monkeypatch.setenv("CCD_HW_DECODER_LOAD", given)
    backend = views_by_dali.DaliViews(2, "cuda")
    decode(backend, [GOOD])
    assert dali.asked[0][1]["hw_decoder_load"] == load
    assert f"hw_decoder_load {given}," in backend.name


@pytest.mark.parametrize("given", ["all", "1.1", "-0.1", "nan", ""])
def test_a_share_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv("CCD_HW_DECODER_LOAD", given)
    with pytest.raises(UserError, match=f"CCD_HW_DECODER_LOAD={given}: must be a number from 0 to 1"):
        gpu_decoder.arguments()


@pytest.mark.parametrize(("files", "size"), [(1, 8), (7, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32)])
def test_a_batch_is_filled_up_with_its_own_files(files, size):
    filled = gpu_decoder.filled_up([np.full(1, index) for index in range(files)])
    assert [int(one[0]) for one in filled] == [index % files for index in range(size)]


@pytest.mark.parametrize(("threads", "most"), [(1, 8), (2, 8), (3, 16), (7, 32), (64, 32)])
def test_a_decoder_gets_batches_of_one_size_whatever_is_asked(dali, decode, threads, most):
    backend = views_by_dali.DaliViews(threads, "cuda")
    for count in (1, 2 * most + 3, most):
        found = decode(backend, [GOOD] * count)
        assert found.rows.tolist() == list(range(count))
    sizes = [size for size, _ in dali.asked]
    assert sizes == [8, most, most, 8, most]
    assert most <= at_once(min(threads, gpu_decoder.THREADS))


@pytest.mark.parametrize("where", [{0}, {1, 4}, {5}, {0, 1, 2, 3, 4, 5}])
def test_damaged_files_are_found_though_files_stand_in_a_batch_more_than_once(dali, decode, where):
    backend = views_by_dali.DaliViews(2, "cuda")
    found = decode(backend, [BAD if index in where else GOOD for index in range(6)])
    assert found.unreadable == dict.fromkeys(where, "cannot be decoded")
    assert found.rows.tolist() == [index for index in range(6) if index not in where]
    assert len(found.pixels.tensors) == len(found)


@pytest.mark.parametrize("interpolation", agreement.FILTERS)
@pytest.mark.parametrize("as_tensors", [False, True], ids=["arrays", "tensors"])
def test_views_and_crops_are_the_kernels(dali, decode, interpolation, as_tensors):
    backend = views_by_dali.DaliViews(2, "cuda")
    found = decode(backend, [GOOD, GIF, samples.LIKE_GREY["png, grayscale"], b"rubbish"])
    assert found.sizes.tolist() == [[70, 90]] * 3
    owner, boxes = np.array([0, 0, 1, 2]), np.array([[0, 0, 90, 70], [3, 5, 40, 6], [89, 69, 90, 70], [10, 0, 90, 70]])
    given = [torch.tensor(each, device="cuda") for each in (owner, boxes)] if as_tensors else (owner, boxes)
    crops = backend.crop(found, *given, 32, interpolation)
    whole = backend.whole(found, 32, interpolation)
    assert crops.device == whole.device == CARD
    places = torch.tensor([[t.pixels.ctypes.data, 70, 90] for t in found.pixels.tensors])
    asked = (torch.from_numpy(owner), torch.from_numpy(boxes))
    assert torch.equal(crops.cpu(), numpy_twins.crop_resize(places, *asked, 32, interpolation, 90))
    assert torch.equal(whole.cpu()[0], crops.cpu()[0])
    assert len(whole) == 3
    assert not dali.sliced


def test_nothing_to_cut_gives_nothing(dali, decode):
    backend = views_by_dali.DaliViews(2, "cuda")
    found = decode(backend, [b"rubbish"])
    assert backend.whole(found, 32, "bilinear").shape == (0, 32, 32, 3)
    none = np.empty((0, 4), dtype=np.int64)
    assert backend.crop(found, none[:, 0], none, 32, "bilinear").device == CARD


def test_without_cupy_dali_cuts_and_a_line_says_so(dali, decode, capsys):
    with pytest.MonkeyPatch.context() as patch:  # undone before the card is, whose stand-in it takes the place of
        patch.setattr(cupy_kernels, "available", lambda: False)
        backend = views_by_dali.DaliViews(2, "cuda")
    said = capsys.readouterr().err
    assert said.startswith("ccd-fast: views: CuPy is not installed, so DALI cuts the crops")
    assert said.count("\n") == 1
    assert backend.name == "dali, hw_decoder_load 1, resized by DALI"
    found = decode(backend, [GOOD, GIF])
    boxes = np.array([[3, 5, 40, 6], [0, 1, 2, 3]])
    assert backend.crop(found, np.array([1, 1]), boxes, 32, "bicubic").shape == (2, 32, 32, 3)
    ((count, start, end, axes),) = dali.sliced
    assert (count, start.tolist(), end.tolist(), axes) == (2, [[5, 3], [1, 0]], [[6, 40], [3, 2]], [0, 1])
    assert backend.whole(found, 32, "bicubic").shape == (2, 32, 32, 3)


def test_with_cupy_nothing_is_said(dali, capsys):
    views_by_dali.DaliViews(2, "cuda")
    assert capsys.readouterr().err == ""


def test_the_name_on_the_host_is_short():
    assert open_backend("dali", 2).name == "dali"


def test_factors_of_a_jitter_go_over_as_arrays(monkeypatch):
    """A list of numbers costs DALI's Python some microseconds for each of them."""
    given = []
    as_batch = REAL.as_batch
    monkeypatch.setattr(REAL, "as_batch", lambda what, **how: (given.append(what), as_batch(what, **how))[1])
    views = open_backend("dali", 2)
    factors = jitter_factors(np.random.default_rng(0).random((3, 4)), 0.5, 0.1)
    assert views.jitter(torch.zeros((3, 8, 8, 3), dtype=torch.uint8), factors).shape == (3, 8, 8, 3)
    columns = [what for what in given if isinstance(what, np.ndarray)]
    np.testing.assert_array_equal(columns, factors.T)
