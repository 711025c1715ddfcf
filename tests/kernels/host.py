"""Runs the CUDA kernels on the host: the same source, the same launches, another compiler."""

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from ccd_fast.kernels import cupy_kernels, launches

HERE = Path(__file__).parent
GUARD = 64
C_TYPES = {np.int32: ctypes.c_int32, np.int64: ctypes.c_int64, np.float32: ctypes.c_float}


class Host:
    """The kernels in a shared library, with launches like those of :mod:`ccd_fast.kernels.cupy_kernels`."""

    def __init__(self, folder: Path, source: str | None = None, seed: int = 0) -> None:
        compiler = shutil.which(os.environ.get("CXX", "c++"))
        if compiler is None or platform.system() != "Linux":
            pytest.skip("no C++ compiler to run the kernels' source on the host (Linux; set CXX)")
        text = folder / "kernels.cu"
        text.write_text(source or cupy_kernels.source())
        library = folder / "kernels.so"
        flags = [
            "-std=c++17",
            "-O1",
            "-ffp-contract=off",
            "-fno-strict-aliasing",
            "-fno-gnu-unique",
            "-shared",
            "-fPIC",
        ]
        command = [compiler, *flags, f'-DKERNELS="{text}"', str(HERE / "host_launch.cpp"), "-o", str(library)]
        subprocess.run(command, check=True)
        self.library = ctypes.CDLL(str(library))
        self.seed = seed
        self.processors = 1

    def run(self, launch: launches.Launch) -> None:
        function = getattr(self.library, f"launch_{launch.kernel}")
        function.restype = ctypes.c_char_p
        arguments = [
            ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else C_TYPES[type(a)](a)
            for a in launch.arguments
        ]
        self.seed += 1
        error = function(launch.blocks, launches.THREADS, launch.shared_bytes, ctypes.c_uint(self.seed), *arguments)
        assert error is None, f"{launch.kernel}: {error.decode()}"

    def score(self, similarities, max_entropy, bias_sums, bias_counts):
        rows, classes = similarities.shape
        with poisoned((rows, classes), torch.float32) as scores, poisoned((rows,), torch.bool) as confident:
            self.run(
                launches.score(
                    similarities, max_entropy, scores, confident, bias_sums, bias_counts, processors=self.processors
                )
            )
        return scores, confident

    def update(self, table, rows, offsets, crop_scores, bias, floor, ema):
        self.run(launches.update(table, rows, offsets, crop_scores, bias, floor, ema, processors=self.processors))

    def cam_boxes(self, maps, view_size, threshold, margin):
        with poisoned((len(maps), 4), torch.int64) as boxes:
            self.run(launches.cam_boxes(maps, view_size, threshold, round(margin * view_size), boxes))
        return boxes

    def crop_resize(self, pictures, owner, boxes, size, interpolation, longest):
        with poisoned((len(owner), size, size, 3), torch.uint8) as crops:
            self.run(launches.crop_resize(pictures, owner, boxes, size, interpolation, longest, crops))
        return crops


@contextmanager
def poisoned(shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """Give memory full of garbage (NaN as float), and see that what lies before and after stays as it was."""
    itemsize, count = torch.empty((), dtype=dtype).element_size(), int(np.prod(shape))
    raw = torch.full((2 * GUARD + count * itemsize,), 0xFF, dtype=torch.uint8)
    yield raw[GUARD : GUARD + count * itemsize].view(dtype).view(shape)
    assert (raw[:GUARD] == 0xFF).all()
    assert (raw[GUARD + count * itemsize :] == 0xFF).all()


def shifted(tensor: torch.Tensor, elements: int) -> torch.Tensor:
    """Copy a tensor to where it starts some elements past a boundary of 64 bytes."""
    memory = torch.empty(tensor.numel() + elements, dtype=tensor.dtype)
    assert memory.data_ptr() % 64 == 0
    copy = memory[elements:].view(tensor.shape)
    return copy.copy_(tensor)
