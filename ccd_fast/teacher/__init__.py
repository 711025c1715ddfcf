"""The teacher: a frozen CLIP that scores views, and whether its engines say what open_clip says (section 1).

Imports engines, views, runs, recipes and what is below them. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.teacher.clip import Clip, Teacher, class_embeddings, load_clip
    from ccd_fast.teacher.names import CONFIG, WEIGHTS, resolve
    from ccd_fast.teacher.twins import twins_warning
    from ccd_fast.teacher.vocabulary import Vocabulary

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "Clip",
    "Teacher",
    "Vocabulary",
    "class_embeddings",
    "load_clip",
    "resolve",
    "twins_warning",
]

WHERE = {
    "clip": ("Clip", "Teacher", "class_embeddings", "load_clip"),
    "names": ("CONFIG", "WEIGHTS", "resolve"),
    "twins": ("twins_warning",),
    "vocabulary": ("Vocabulary",),
}
__getattr__ = handed_on(__name__, WHERE)
