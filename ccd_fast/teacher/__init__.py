"""The teacher: a frozen CLIP that scores views, and whether its engines say what open_clip says (section 1).

Imports engines, views, runs, recipes and what is below them.
"""

from ccd_fast.teacher.clip import CONFIG, WEIGHTS, Clip, Teacher, class_embeddings, load_clip, resolve
from ccd_fast.teacher.twins import twins_warning

__all__ = ["CONFIG", "WEIGHTS", "Clip", "Teacher", "class_embeddings", "load_clip", "resolve", "twins_warning"]
