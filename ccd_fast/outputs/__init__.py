"""What is made of a trained student, or of the teacher alone: predictions, labels as files, exports, cards, pictures.

Imports training and what is below it. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.outputs.labelling import Labelled
    from ccd_fast.outputs.trained import Trained

__all__ = ["Labelled", "Trained"]

WHERE = {
    "labelling": ("Labelled",),
    "trained": ("Trained",),
}
__getattr__ = handed_on(__name__, WHERE)
