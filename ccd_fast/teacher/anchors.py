"""Anchors: everyday things beside the user's classes, so that a photograph of none of them need not be given one.

A softmax over the class names alone must choose: with cat and dog, a photograph of a ship is one of them. With everyday
nouns beside the names, their share of the softmax is what belongs to no class.
"""

import re
from collections.abc import Sequence

import torch

from ccd_fast.prompts import names_of
from ccd_fast.teacher.clip import Clip
from ccd_fast.teacher.kept import class_embeddings

NOUNS = (
    *("person", "baby", "crowd", "face", "hand"),
    *("cat", "dog", "horse", "cow", "sheep", "pig", "goat", "bird", "duck", "chicken", "fish", "rabbit", "mouse"),
    *("elephant", "bear", "lion", "monkey", "deer", "snake", "turtle", "frog", "butterfly", "spider", "insect"),
    *("car", "bus", "truck", "van", "train", "tram", "airplane", "helicopter", "boat", "ship", "bicycle", "motorcycle"),
    *("road", "street", "bridge", "building", "house", "church", "tower", "shop", "stairs", "wall", "fence", "sign"),
    *("traffic light", "bench", "statue", "fountain", "garden", "park", "field", "farm", "forest", "tree", "flower"),
    *("grass", "leaf", "mushroom", "mountain", "rock", "desert", "beach", "sea", "lake", "river", "waterfall", "snow"),
    *("sky", "cloud", "sunset", "moon", "fire", "kitchen", "bedroom", "bathroom", "living room", "office", "classroom"),
    *(
        "stage",
        "table",
        "chair",
        "sofa",
        "bed",
        "desk",
        "shelf",
        "cupboard",
        "lamp",
        "window",
        "door",
        "mirror",
        "curtain",
    ),
    *(
        "carpet",
        "pillow",
        "clock",
        "vase",
        "candle",
        "toilet",
        "sink",
        "bathtub",
        "oven",
        "refrigerator",
        "washing machine",
    ),
    *(
        "television",
        "computer",
        "keyboard",
        "telephone",
        "camera",
        "radio",
        "book",
        "newspaper",
        "letter",
        "map",
        "poster",
    ),
    *(
        "painting",
        "drawing",
        "text",
        "chart",
        "screen",
        "bottle",
        "glass",
        "cup",
        "plate",
        "bowl",
        "pan",
        "knife",
        "fork",
    ),
    *(
        "spoon",
        "bread",
        "cake",
        "pizza",
        "sandwich",
        "hamburger",
        "salad",
        "soup",
        "rice",
        "pasta",
        "meat",
        "egg",
        "cheese",
    ),
    *("apple", "banana", "orange", "strawberry", "tomato", "carrot", "vegetables", "ice cream", "chocolate", "coffee"),
    *(
        "hat",
        "shirt",
        "dress",
        "jacket",
        "trousers",
        "shoe",
        "tie",
        "glasses",
        "watch",
        "ring",
        "bag",
        "suitcase",
        "box",
    ),
    *(
        "basket",
        "umbrella",
        "toy",
        "doll",
        "balloon",
        "ball",
        "kite",
        "skateboard",
        "surfboard",
        "skis",
        "tennis racket",
    ),
    *("guitar", "piano", "drum", "trumpet", "microphone", "hammer", "scissors", "ladder", "wheel", "engine", "machine"),
    *("medicine", "money", "key", "flag", "tent", "swimming pool", "playground", "stadium"),
)
"""Everyday things, none of which names the kind of another: "animal" would take its share of every cat."""

NAMED = 6
"""Everyday things that are named where they are left out."""
NEAR = 3.0
"""An everyday thing is left out where the scores of a typical image differ from those of a class by less than this
factor: it names the same, or so nearly that it would take the class's own share."""


def beside(
    which: str, clip: Clip, prompt_names: Sequence[str], classes: torch.Tensor, templates: Sequence[str]
) -> tuple[torch.Tensor | None, str]:
    """Embed what stands beside the classes.

    Args:
        which: ``"none"`` or ``"everyday"``.
        clip: the teacher's CLIP.
        prompt_names: of the classes.
        classes: t, (C, D) float32, rows of length 1.
        templates: prompts with one ``{}`` each.

    Returns:
        (A, D) float32, rows of length 1, and a line that says what they are; None and nothing for ``"none"``.
    """
    if which == "none":
        return None, ""
    nouns = [noun for noun in NOUNS if not _names_one(noun, prompt_names)]
    embedded = class_embeddings(clip, nouns, templates)
    distance = torch.cdist(embedded.double(), classes.double()).min(dim=1).values
    apart = torch.exp(clip.scale * distance / classes.shape[1] ** 0.5) >= NEAR
    left_out = [noun for noun in NOUNS if noun not in nouns] + [
        n for n, far in zip(nouns, apart, strict=True) if not far
    ]
    more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
    first = ", ".join(left_out[:NAMED])
    without = f"; without {first}{more}, which it hardly tells from a class" if left_out else ""
    return embedded[apart], f"beside the classes stand {int(apart.sum())} everyday nouns{without} (labels.anchors)"


def _names_one(noun: str, prompt_names: Sequence[str]) -> bool:
    """Tell whether a noun is one of the classes' names, or a word of one, or the other way round; in any number."""
    return any(_words(noun) & _words(name) for said in prompt_names for name in names_of(said))


def _words(text: str) -> set[str]:
    """Give the words of a name, in small letters and without the s of a plural."""
    return {word.removesuffix("s") for word in re.findall(r"[^\W\d_]+", text.lower())}
