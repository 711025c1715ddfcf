"""The three kernels on a few shapes each, against their NumPy twins: what compute-sanitizer looks at."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from ccd_fast import kernels
from tests.kernels import agreement


def main() -> None:
    """Run them; an AssertionError says which does not agree."""
    for dtype in agreement.HALF_AND_FLOAT:
        for classes in (1, 81, 600):
            agreement.check_score(kernels, agreement.similarities(70, classes, dtype, seed=classes).cuda())
        for classes in (3, 80, 129):
            case = [tensor.cuda() for tensor in agreement.update_case(60, classes, dtype, seed=classes)]
            agreement.check_update(kernels, *case)
        for height, width, size in ((1, 1, 16), (7, 7, 224), (9, 12, 5), (120, 120, 640)):
            agreement.check_cam_boxes(kernels, agreement.cams(24, height, width, dtype, seed=size).cuda(), size)
    torch.cuda.synchronize()
    print("all three agree with their twins")


if __name__ == "__main__":
    main()
