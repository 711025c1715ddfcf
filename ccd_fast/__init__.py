"""ccd_fast: photographs and class names in, a small fast multi-label classifier out, no labels needed.

It implements Classifier-guided CLIP Distillation (CCD; Kim and Shim, CVPR 2025, arXiv 2503.16873).

From Python: :func:`train`, :func:`label`, :func:`predict` and :func:`load`; importing the package loads nothing large.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccd_fast.api import label, load, predict, train

__all__ = ["__version__", "label", "load", "predict", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Find the functions of :mod:`ccd_fast.api` when they are first asked for: they bring torch with them."""
    if name in ("label", "load", "predict", "train"):
        from ccd_fast import api

        return getattr(api, name)
    raise AttributeError(f"module 'ccd_fast' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what there is, for whoever looks."""
    return sorted(__all__)
