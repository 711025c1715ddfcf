"""What is made of a trained student, or of the teacher alone: predictions, labels as files, exports, cards, pictures.

Imports training and what is below it.
"""

from ccd_fast.outputs.labelling import Labelled
from ccd_fast.outputs.trained import Trained

__all__ = ["Labelled", "Trained"]
