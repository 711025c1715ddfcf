"""Views by NVIDIA DALI's dynamic API on a GPU, and its colour jitter on the host too.

DALI decodes and jitters; squares are cut and resized by a kernel of ours. On the host it decodes in a process apart:
see :mod:`ccd_fast.views.host`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from ccd_fast.views.bad_samples import at_once, decode_each
from ccd_fast.views.decode_one import decode_one
from ccd_fast.views.decoding_worker import tensors_of
from ccd_fast.views.files import Encoded, Reader, read_bytes
from ccd_fast.views.header import DEFAULT_MAX_MEGAPIXELS
from ccd_fast.views.on_device import DevicePictures
from ccd_fast.views.sorting import sorted_out

FILTERS = {"bilinear": types.DALIInterpType.INTERP_TRIANGULAR, "bicubic": types.DALIInterpType.INTERP_CUBIC}

LEGACY_STREAM = 1
"""CUDA's own handle of the default stream. torch calls that stream 0, and refuses to hand arrays over on a stream 0."""


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


class Contexts:
    """DALI's contexts of a device.

    A context holds threads, and operators made for so many threads (a decoder of the GPU among them, that takes long to
    make), and works for one caller at a time: those that are idle are kept, by stream.
    """

    def __init__(self, threads: int, device: torch.device) -> None:
        """Open none yet; each will have ``threads`` threads."""
        self._threads = threads
        self._device = device
        self._idle: dict[int | None, list[Any]] = defaultdict(list)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let DALI work in the calling thread, on a GPU on the stream that is torch's current one."""
        stream = TorchStream(self._device) if self._device.type == "cuda" else None
        idle = self._idle[stream.handle if stream else None]
        try:
            context = idle.pop()
        except IndexError:
            where = {"device_id": stream.device_id, "cuda_stream": stream} if stream else {}
            context = dali.EvalContext(num_threads=self._threads, **where)
        with context, dali.EvalMode.sync_cpu:  # else each call would be handed to another thread, and waited for
            yield
        idle.append(context)


def jittered(contexts: Contexts, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
    """Jitter colours; see :class:`ViewBackend`."""
    with contexts.entered():
        columns = (dali.as_batch(column) for column in np.ascontiguousarray(factors.T))
        brightness, contrast, saturation, hue = columns
        pictures = dali.as_batch(pixels.contiguous(), layout="HWC")
        twisted = dali.color_twist(pictures, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        return _to_torch(twisted)


class DaliViews:
    """The backend of a GPU: decoding, cropping and resizing.

    JPEG, PNG and WebP in their plainest forms are DALI's; the other pictures (CMYK, 16 bits a channel, alpha, GIF,
    TIFF, HEIC …), and what DALI refuses, are decoded by Pillow on the host and join the batch. Squares are the
    kernel's, or DALI's where there is no CuPy.
    """

    def __init__(
        self,
        threads: int,
        device: str,
        max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
        read: Reader = read_bytes,
    ) -> None:
        """Open the backend with ``threads`` threads at most; see :func:`ccd_fast.views.open_backend`."""
        self.device = torch.device(device)
        self._by_kernel = kernels.available(self.device)
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
        self._contexts = Contexts(threads, self.device)
        self._max_megapixels = max_megapixels
        self._read = read

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files; see :class:`ViewBackend`."""
        asked, unreadable = sorted_out(files, rows, self._read, self._max_megapixels)
        plain: dict[int, Encoded] = {
            row: np.frombuffer(b"".join(each.parts), dtype=np.uint8)
            for row, each in asked.items()
            if each.parts is not None
        }
        with self.on_torch_stream():
            decoded = decode_each(list(plain.values()), self._decode_batch, self._at_once)
            found = {row: picture for row, picture in zip(plain, decoded, strict=True) if picture is not None}
            for row in asked.keys() - found.keys():
                picture = decode_one(plain.get(row, asked[row].content), asked[row].header, self._max_megapixels)
                if isinstance(picture, str):
                    unreadable[row] = picture
                else:
                    found[row] = dali.as_tensor(np.array(picture), layout="HWC", device="gpu")
            kept = [row for row in rows.tolist() if row not in unreadable]
            pictures = [found[row] for row in kept]
            on_device = DevicePictures.of(pictures, self.device if self._by_kernel else None)
            return Photographs(np.array(kept, dtype=np.int64), on_device.sizes, on_device, unreadable)

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize whole photographs; see :class:`ViewBackend`."""
        if not len(photographs):
            return self._nothing(size)
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
        return jittered(self._contexts, pixels, factors)

    def on_torch_stream(self) -> AbstractContextManager[None]:
        """Let DALI work for this backend in the calling thread, on the stream that is torch's current one."""
        return self._contexts.entered()

    def _decode_batch(self, encoded: list[Encoded]) -> list[Any]:
        """Decode files that are whole; give DALI's tensors."""
        pictures = dali.decoders.image(
            dali.as_batch(gpu_decoder.filled_up(encoded)),
            **self._decoder,
            output_type=types.RGB,
            jpeg_fancy_upsampling=True,  # as the CPU's decoder does always
        )
        return tensors_of(pictures.evaluate())[: len(encoded)]

    def _nothing(self, size: int) -> torch.Tensor:
        return torch.empty((0, size, size, 3), dtype=torch.uint8, device=self.device)


def _resize(pictures: Any, size: int, interpolation: Interpolation) -> torch.Tensor:
    resized = dali.resize(pictures, size=[size, size], interp_type=FILTERS[interpolation], antialias=True)
    return _to_torch(resized)


def _to_torch(pictures: Any) -> torch.Tensor:
    """Hand a batch of equal shapes to torch without a copy; torch names its current stream and DALI orders itself."""
    pixels: torch.Tensor = torch.utils.dlpack.from_dlpack(dali.as_tensor(pictures.evaluate()))
    return pixels
