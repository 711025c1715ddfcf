"""The student at a fixed number of pictures a call, as a GPU takes it; here on the CPU, without graph and halves."""

import gc

import pytest
import torch

from ccd_fast.student import captured as captures
from ccd_fast.student.captured import CapturedStudent
from ccd_fast.student.network import build


@pytest.fixture
def student():
    return build("test_resnet", 4, 3.0, "none").eval()


def pictures(count):
    return torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("count", [5, 3, 1, 12])
def test_any_number_of_pictures_gives_what_the_student_gives(student, count):
    own = CapturedStudent(student, 64)
    own(pictures(5))
    with torch.inference_mode():
        expected = student(pictures(count))
    for ours, theirs in zip(own(pictures(count)), expected, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_every_call_of_the_network_has_the_rows_of_the_first(student, monkeypatch):
    own, seen = CapturedStudent(student, 64), []
    look = own.capture._look
    monkeypatch.setattr(own.capture, "_look", lambda pixels: seen.append(len(pixels)) or look(pixels))
    for count in (5, 2, 12):
        own(pictures(count))
    assert seen == [1, 5, 5, 5, 5, 5]  # one picture first, for the size of the maps


def test_it_sees_the_weights_that_the_student_has_now_and_is_kept_with_it(student):
    own = CapturedStudent(student, 64)
    before, _ = own(pictures(5))
    with torch.no_grad():
        for weight in student.parameters():
            weight.mul_(1.1)
    assert CapturedStudent(student, 64).capture is own.capture
    after, _ = own(pictures(5))
    assert not torch.equal(before, after)
    with torch.inference_mode():
        torch.testing.assert_close(after, student(pictures(5))[0], rtol=1e-4, atol=1e-5)


def test_a_student_that_is_gone_takes_its_buffers_with_it():
    gone = build("test_resnet", 4, 3.0, "none").eval()
    CapturedStudent(gone, 64)(pictures(2))
    kept = len(captures._captures)
    del gone
    gc.collect()
    assert len(captures._captures) == kept - 1
