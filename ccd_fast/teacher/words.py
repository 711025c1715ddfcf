"""From class names to the vocabulary of a recipe: the classes, the kinds of broad ones, and what stands beside them."""

from collections.abc import Sequence
from typing import Literal

import torch

from ccd_fast.recipes.knobs import TeacherKnobs
from ccd_fast.teacher import anchors
from ccd_fast.teacher.clip import Clip
from ccd_fast.teacher.kept import class_embeddings
from ccd_fast.teacher.vocabulary import Vocabulary


def vocabulary_of(
    clip: Clip,
    prompt_names: Sequence[str],
    knobs: TeacherKnobs,
    which: Literal["none", "everyday"],
    device: str | torch.device = "cpu",
) -> tuple[Vocabulary, list[str]]:
    """Embed all texts that a teacher compares views with.

    Args:
        clip: the teacher's CLIP.
        prompt_names: of C classes.
        knobs: its templates, and whether names are widened.
        which: what stands beside the classes.
        device: where the texts are embedded.

    Returns:
        The vocabulary, on the CPU, and lines that say what is in it beside the classes.

    Raises:
        UserError: a prompt is longer than the text tower reads.
    """
    classes = class_embeddings(clip, prompt_names, knobs.templates, device)
    broad = knobs.kinds_beside(prompt_names)
    kinds = {
        prompt_names.index(name): class_embeddings(clip, own, knobs.templates, device) for name, own in broad.items()
    }
    said = [*prompt_names, *(kind for own in broad.values() for kind in own)]
    beside, line = anchors.beside(which, clip, said, torch.cat([classes, *kinds.values()]), knobs.templates)
    named = "; ".join(f"{name}: {', '.join(own)}" for name, own in broad.items())
    told = f"broad names are asked for by their kinds too: {named} (teacher.names)" if broad else ""
    return Vocabulary(classes, beside, kinds), [each for each in (told, line) if each]
