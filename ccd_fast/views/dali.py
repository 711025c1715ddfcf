"""Views by NVIDIA DALI's dynamic API, on the CPU or on the GPU.

DALI decodes and jitters. Squares are cut and resized by torch on the CPU, and on a GPU by a kernel of ours.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as dali
import torch
import torch.utils.dlpack
from numpy.typing import NDArray
from nvidia.dali import types

from ccd_fast import kernels
from ccd_fast.machine import say_on_stderr
from ccd_fast.views import gpu_decoder
from ccd_fast.views.backend import Indices, Interpolation, Photographs
from ccd_fast.views.files import Encoded, Reader, read_bytes
from ccd_fast.views.header import DEFAULT_MAX_MEGAPIXELS, inspect
from ccd_fast.views.on_device import DevicePictures
from ccd_fast.views.pillow import decode_one
from ccd_fast.views.resize import HostResize

FILTERS = {"bilinear": types.DALIInterpType.INTERP_TRIANGULAR, "bicubic": types.DALIInterpType.INTERP_CUBIC}

LEGACY_STREAM = 1
"""CUDA's own handle of the default stream. torch calls that stream 0, and refuses to hand arrays over on a stream 0."""

_FAILED_SAMPLE = re.compile(r"sample #(\d+)")
"""How DALI names the sample that it could not decode; it does so in some errors only."""


class TorchStream:
    """torch's current stream of a device, in the form in which DALI takes a stream."""

    def __init__(self, device: torch.device) -> None:
        """Take the stream that is current in this thread."""
        stream = torch.cuda.current_stream(device)
        self.device_id: int = stream.device_index
        self.handle: int = stream.cuda_stream or LEGACY_STREAM

    def __cuda_stream__(self) -> tuple[int, int]:
        """Give the version of this protocol and the handle."""
        return 0, self.handle


def at_once(threads: int) -> int:
    """Give how many files DALI 2.4 may decode at once where one of them may be damaged.

    Beyond this number its decoder shares the reading of headers among its threads. A header that cannot be read then
    leaves the others at work on what is gone already, and ends the process with SIGABRT or SIGSEGV.
    """
    return 4 * (threads + 1)


class DaliViews:
    """The fast backend: decoding, cropping and resizing on all threads of the host, or on the GPU.

    JPEG, PNG and WebP are DALI's, as far as the header says that DALI decodes them as Pillow does; the other
    pictures (CMYK, 16 bits a channel, GIF, TIFF, HEIC …) are decoded by Pillow on the host and join the batch. On the
    host, resizing is torch's: see :mod:`ccd_fast.views.resize`. On a GPU it is the kernel's, or DALI's where there is
    no CuPy.
    """

    def __init__(
        self,
        threads: int,
        device: str = "cpu",
        max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
        read: Reader = read_bytes,
    ) -> None:
        """Open the backend with ``threads`` threads, fewer on a GPU; see :func:`ccd_fast.views.open_backend`."""
        self.name = "dali"
        self.device = torch.device(device)
        self._on_gpu = self.device.type == "cuda"
        self._by_kernel = self._on_gpu and kernels.available(self.device)
        self._decoder: dict[str, Any] = {"device": "cpu"}
        self._at_once = at_once(threads)
        if self._on_gpu:
            threads = min(threads, gpu_decoder.THREADS)
            self._at_once = gpu_decoder.most_at_once(at_once(threads))
            self._decoder = gpu_decoder.arguments()
            by = "our kernel" if self._by_kernel else "DALI"
            self.name = f"dali, hw_decoder_load {self._decoder['hw_decoder_load']:g}, resized by {by}"
            if not self._by_kernel:
                say_on_stderr(
                    "views: CuPy is not installed, so DALI cuts the crops on the GPU, with pixels of its own and work "
                    "of the host for each: pip install 'ccd_fast[cuda]'"
                )
        self._threads = threads
        self._resize_on_the_host = HostResize(threads)
        self._max_megapixels = max_megapixels
        self._read = read
        self._idle_contexts: dict[int | None, list[Any]] = defaultdict(list)

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files; see :class:`ViewBackend`."""
        unreadable: dict[int, str] = {}
        encoded: dict[int, Encoded] = {}
        of_pillow: dict[int, NDArray[np.uint8]] = {}
        for file, row in zip(files, rows.tolist(), strict=True):
            content = self._read(file)
            header = content if isinstance(content, str) else inspect(content, self._max_megapixels)
            if isinstance(content, str) or isinstance(header, str):
                unreadable[row] = str(header)
            elif header.plain:
                encoded[row] = content
            else:
                picture = decode_one(content, header, self._max_megapixels)
                if isinstance(picture, str):
                    unreadable[row] = picture
                else:
                    of_pillow[row] = np.array(picture)
        with self.on_torch_stream():
            decoded, failed = self._decode_all(encoded)
            unreadable |= dict.fromkeys(failed, "cannot be decoded")
            kept = [row for row in rows.tolist() if row not in unreadable]
            pictures = self._joined(kept, list(encoded), decoded, of_pillow)
            if self._on_gpu:
                on_device = DevicePictures.of(pictures, self.device if self._by_kernel else None)
                return Photographs(np.array(kept, dtype=np.int64), on_device.sizes, on_device, unreadable)
        sizes = np.array([picture.shape[:2] for picture in pictures], dtype=np.int64).reshape(-1, 2)
        return Photographs(np.array(kept, dtype=np.int64), sizes, pictures, unreadable)

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize whole photographs; see :class:`ViewBackend`."""
        if not len(photographs):
            return self._nothing(size)
        if not self._on_gpu:
            return self._resize_on_the_host(photographs.pixels, size, interpolation)
        if self._by_kernel:
            return photographs.pixels.whole(size, interpolation)  # type: ignore[no-any-return]
        with self.on_torch_stream():
            return _resize(dali.as_batch(photographs.pixels.tensors), size, interpolation)

    def crop(
        self,
        photographs: Photographs,
        owner: Indices,
        boxes: Indices,
        size: int,
        interpolation: Interpolation,
    ) -> torch.Tensor:
        """Crop and resize; see :class:`ViewBackend`."""
        if not len(owner):
            return self._nothing(size)
        if not self._on_gpu:
            asked = zip(owner.tolist(), boxes.tolist(), strict=True)
            cuts = [photographs.pixels[k][y0:y1, x0:x1] for k, (x0, y0, x1, y1) in asked]
            return self._resize_on_the_host(cuts, size, interpolation)
        if self._by_kernel:
            return photographs.pixels.crops(owner, boxes, size, interpolation)  # type: ignore[no-any-return]
        corners = torch.as_tensor(boxes).cpu().numpy().astype(np.int32)
        tensors = photographs.pixels.tensors  # references: a photograph is decoded once, whatever its crops
        with self.on_torch_stream():
            sources = dali.as_batch([tensors[k] for k in owner.tolist()])
            start, end = (dali.as_batch(np.ascontiguousarray(corners[:, side])) for side in ([1, 0], [3, 2]))
            return _resize(dali.slice(sources, start=start, end=end, axes=[0, 1]), size, interpolation)

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Jitter colours; see :class:`ViewBackend`."""
        with self.on_torch_stream():
            columns = (dali.as_batch(column) for column in np.ascontiguousarray(factors.T))
            brightness, contrast, saturation, hue = columns
            pictures = dali.as_batch(pixels.contiguous(), layout="HWC")
            twisted = dali.color_twist(
                pictures, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
            )
            return _to_torch(twisted)

    @contextmanager
    def on_torch_stream(self) -> Iterator[None]:
        """Let DALI work for this backend in the calling thread, on a GPU on the stream that is torch's current one.

        A DALI context holds threads, and operators made for so many threads (a decoder of the GPU among them, that
        takes long to make), and works for one caller at a time: those that are idle are kept, by stream.
        """
        stream = TorchStream(self.device) if self._on_gpu else None
        idle = self._idle_contexts[stream.handle if stream else None]
        try:
            context = idle.pop()
        except IndexError:
            where = {"device_id": stream.device_id, "cuda_stream": stream} if stream else {}
            context = dali.EvalContext(num_threads=self._threads, **where)
        with context, dali.EvalMode.sync_cpu:  # else each call would be handed to another thread, and waited for
            yield
        idle.append(context)

    def _decode_all(self, encoded: dict[int, Encoded]) -> tuple[list[Any], list[int]]:
        """Decode a batch, and again without them where some samples fail; give the pictures and the failed rows.

        One bad sample fails its whole batch. The others are decoded again in two parts: before and behind the bad
        one where DALI says which it is, else in halves until it is found.
        """
        rows = list(encoded)
        if len(rows) > self._at_once:
            parts = [rows[start : start + self._at_once] for start in range(0, len(rows), self._at_once)]
            failed: list[int] = []
        else:
            try:
                return self._decode_batch(list(encoded.values())) if rows else [], []
            except RuntimeError as error:  # DALI has no narrower class for a sample it cannot decode
                named = _FAILED_SAMPLE.search(str(error))
            if len(rows) == 1:
                del encoded[rows[0]]
                return [], rows
            bad = int(named[1]) % len(rows) if named else len(rows) // 2  # on a GPU files stand in it more than once
            parts = [rows[:bad], rows[bad + 1 :]] if named else [rows[:bad], rows[bad:]]
            failed = [rows[bad]] if named else []
        pictures: list[Any] = []
        for part in parts:
            more, bad_ones = self._decode_all({row: encoded[row] for row in part})
            pictures += more
            failed += bad_ones
        for row in failed:
            encoded.pop(row, None)
        return pictures, failed

    def _decode_batch(self, encoded: list[Encoded]) -> list[Any]:
        """Decode files that are whole; give DALI's tensors on a GPU, and NumPy's arrays without a copy on the host."""
        pictures = dali.decoders.image(
            dali.as_batch(gpu_decoder.filled_up(encoded) if self._on_gpu else encoded),
            **self._decoder,
            output_type=types.RGB,
            jpeg_fancy_upsampling=True,  # on the GPU too, as the CPU's decoder does always
        )
        tensors = _apart(pictures.evaluate())[: len(encoded)]
        return tensors if self._on_gpu else [np.asarray(tensor) for tensor in tensors]

    def _joined(
        self, kept: list[int], of_dali: list[int], decoded: list[Any], of_pillow: dict[int, NDArray[np.uint8]]
    ) -> list[Any]:
        """Put the pictures of both decoders into one list, in the order of ``kept``: of arrays on the host."""
        pictures = dict(zip(of_dali, decoded, strict=True))
        for row, picture in of_pillow.items():
            pictures[row] = dali.as_tensor(picture, layout="HWC", device="gpu") if self._on_gpu else picture
        return [pictures[row] for row in kept]

    def _nothing(self, size: int) -> torch.Tensor:
        return torch.empty((0, size, size, 3), dtype=torch.uint8, device=self.device)


def _apart(batch: Any) -> list[Any]:
    """Give the tensors of an evaluated batch.

    A batch of DALI 2.4 keeps the tensors that it gave, and each of them keeps the batch. Such a ring stays in memory
    until Python's collector looks at its oldest objects, thousands of photographs later: so the batch forgets them.
    """
    tensors = [tensor.evaluate() for tensor in batch.tensors]
    batch._tensors = None
    return tensors


def _resize(pictures: Any, size: int, interpolation: Interpolation) -> torch.Tensor:
    resized = dali.resize(pictures, size=[size, size], interp_type=FILTERS[interpolation], antialias=True)
    return _to_torch(resized)


def _to_torch(pictures: Any) -> torch.Tensor:
    """Hand a batch of equal shapes to torch without a copy; torch names its current stream and DALI orders itself."""
    pixels: torch.Tensor = torch.utils.dlpack.from_dlpack(dali.as_tensor(pictures.evaluate()))
    return pixels
