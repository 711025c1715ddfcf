"""ccd_fast: photographs and class names in, a small fast multi-label classifier out, no labels needed.

It implements Classifier-guided CLIP Distillation (CCD; Kim and Shim, CVPR 2025, arXiv 2503.16873).
"""

__version__ = "0.1.0"
