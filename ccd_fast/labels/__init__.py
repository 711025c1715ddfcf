"""The pseudo-labels: one table, made from whole images and updated from crops (sections 2 and 4).

Imports teacher, student, datasets and what is below them. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.labels.crop_cache import CropCache
    from ccd_fast.labels.table import FirstLabels, PseudoLabels, Update, debiased_labels, update_labels
    from ccd_fast.labels.view_choice import ViewChoice

__all__ = ["CropCache", "FirstLabels", "PseudoLabels", "Update", "ViewChoice", "debiased_labels", "update_labels"]

WHERE = {
    "crop_cache": ("CropCache",),
    "table": (
        "FirstLabels",
        "PseudoLabels",
        "Update",
        "debiased_labels",
        "update_labels",
    ),
    "view_choice": ("ViewChoice",),
}
__getattr__ = handed_on(__name__, WHERE)
