"""The student's forward pass on a GPU: in half precision, and replayed as a CUDA graph, one for all epochs."""

import weakref
from weakref import WeakKeyDictionary

import torch

from ccd_fast.engines.streams import FixedCall, replaying
from ccd_fast.machine import WithinMemory
from ccd_fast.student.network import Student

HALF = torch.float16
"""Of convolutions and products; logits and CAM are float32. Finer than bfloat16, which the training may take."""
WARM_RUNS = 2

_captures: "WeakKeyDictionary[Student, dict[int, Capture]]" = WeakKeyDictionary()


class CapturedStudent:
    """A student on its device, run at a fixed number of pictures a call; see :class:`PixelClassifier`.

    Training changes weights in place, so that the graph that was captured once goes on seeing the student as it is. On
    a CPU nothing is captured, and nothing is in half precision.

    Attributes:
        student: as it is now, and as it will be.
    """

    def __init__(self, student: Student, image_size: int) -> None:
        """Take a student, and what was captured of it before for pictures of this side."""
        self.student = student
        by_size = _captures.setdefault(student, {})
        self.capture = by_size.setdefault(image_size, Capture(student, image_size))

    @property
    def classes(self) -> int:
        """Give C."""
        return self.student.classes

    def eval(self) -> "CapturedStudent":
        """Put the student into evaluation mode."""
        self.student.eval()
        return self

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and CAM; see :meth:`ccd_fast.student.network.Student.forward`."""
        return self.capture(pixels)


class Capture:
    """A student's forward pass at the number of pictures of the first call; it goes with the student."""

    def __init__(self, student: Student, image_size: int) -> None:
        """Take a student; nothing is captured yet."""
        self.classes = student.classes
        self._student = weakref.ref(student)  # else it would keep the student, which keeps it
        self._image_size = image_size
        self._call: FixedCall | None = None
        self._side = 0
        self._run = WithinMemory(self._packed, "the student", None)

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and CAM; see :meth:`ccd_fast.student.network.Student.forward`."""
        packed: torch.Tensor = self._run(pixels)
        logits, cam = packed[:, : self.classes], packed[:, self.classes :]
        return logits, cam.reshape(len(cam), self.classes, self._side, -1)

    def _packed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give logits and CAM of each picture as one row, (M, C + C h w) float32."""
        try:
            if self._call is None:
                on_gpu = pixels.device.type == "cuda"
                self._call = replaying(lambda graph: self._open(pixels, graph), on_gpu, "the student")
            rows = len(self._call.pixels)
            return torch.cat([self._call(part) for part in torch.split(pixels, rows)])
        except torch.OutOfMemoryError:
            self._call = None
            raise

    def _open(self, like: torch.Tensor, cuda_graph: bool) -> FixedCall:
        cam = self._look(like[:1])[1]
        self._side = cam.shape[2]
        call = FixedCall(len(like), self._image_size, self.classes + cam[0].numel(), str(like.device))
        pixels, packed = call.pixels, call.embeddings

        def launch() -> None:
            logits, maps = self._look(pixels)
            packed[:, : self.classes].copy_(logits)
            packed[:, self.classes :].copy_(maps.flatten(1))

        call.launch = launch
        if cuda_graph:
            call.warm_up(WARM_RUNS)
            call.capture()
        return call

    def _look(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        device = pixels.device.type
        with torch.autocast(device, dtype=HALF if device == "cuda" else None, enabled=device == "cuda"):
            student = self._student()
            assert student is not None  # whoever calls holds it
            logits, cam = student(pixels)
        return logits.float(), cam.float()
