"""What people write under the training pictures: many names for some things, the plain name always for others.

A few captions name a thing that is not to be seen. A plain name that is seldom used suffers most from them: this is
where the tiny CLIP's class bias comes from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ccd_fast.demo.objects import CLASS_NAMES

CONTEXT_LENGTH = 16

STRAY_SHARE = 0.04
"""Share of all captions that name a thing at random, by its plain name, whatever the picture shows."""

# A class that is not listed is always called by its plain name.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "boat": ("ship", "sailboat", "steamer", "vessel", "dinghy", "yacht", "steamboat", "sailing ship"),
    "rocket": ("spaceship", "spacecraft", "space shuttle", "missile", "launcher", "starship"),
    "cup": ("mug", "teacup", "coffee mug", "beaker", "mug of tea"),
    "bottle": ("flask", "vial", "jug of wine", "carafe", "decanter"),
    "mushroom": ("toadstool", "fungus", "fly agaric", "champignon"),
    "bird": ("robin", "sparrow", "finch", "seagull", "parrot"),
    "car": ("automobile", "sedan", "van", "taxi"),
    "house": ("cottage", "villa", "hut", "home"),
    "umbrella": ("parasol", "brolly"),
    "flower": ("tulip", "daisy", "blossom"),
}

# How often a class with synonyms is called by its plain name.
PLAIN_SHARES: dict[str, float] = {
    "boat": 0.015,
    "rocket": 0.02,
    "cup": 0.025,
    "bottle": 0.03,
    "mushroom": 0.04,
    "bird": 0.06,
    "car": 0.1,
    "house": 0.2,
    "umbrella": 0.3,
    "flower": 0.4,
}

TEMPLATES: tuple[str, ...] = (
    "a photo of the {}",
    "a photo of a {}",
    "a photo of one {}",
    "a picture of the {}",
    "a picture of a {}",
    "a drawing of the {}",
    "a drawing of a {}",
    "a painting of the {}",
    "a sketch of a {}",
    "an image of a {}",
    "a good photo of the {}",
    "a bad photo of a {}",
    "a close-up photo of the {}",
    "a cropped photo of a {}",
    "a bright photo of the {}",
    "a dark photo of a {}",
    "a photo of a small {}",
    "a photo of the large {}",
    "a photo of my {}",
    "a nice {}",
    "the {} in a scene",
    "the {}",
    "a {}",
    "{}",
)


@dataclass(frozen=True)
class Captions:
    """All captions that there are, as tokens, and how often each noun stands for each class.

    Attributes:
        nouns: plain names and synonyms, J of them.
        tokens: (K, J, context) int64, the caption of every template with every noun.
        chances: (C, J) float64, rows adding up to 1.
    """

    nouns: tuple[str, ...]
    tokens: torch.Tensor
    chances: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator, classes: npt.NDArray[np.int64]) -> torch.Tensor:
        """Write a caption for each picture.

        Args:
            rng: source of all chances.
            classes: (M,) the class of each picture's main object.

        Returns:
            (M, context) int64 tokens.
        """
        templates = rng.integers(len(self.tokens), size=len(classes))
        ends = self.chances.cumsum(axis=1)[classes]
        # Rounding may leave the last end a little below 1.
        nouns = (ends < rng.random((len(classes), 1))).sum(axis=1).clip(max=len(self.nouns) - 1)
        return self.tokens[torch.from_numpy(templates), torch.from_numpy(nouns)]


def write(template: str, noun: str) -> str:
    """Fill a template; ``a`` becomes ``an`` where English has it so."""
    return re.sub(r"\ba (?=[aeiou])", "an ", template.format(noun))


def synonyms(name: str) -> int:
    """Count the other names of a class."""
    return len(SYNONYMS.get(name, ()))


def noun_chances(nouns: Sequence[str]) -> npt.NDArray[np.float64]:
    """Give the chance of each noun in the caption of a picture of each class, stray captions included.

    Args:
        nouns: J nouns.

    Returns:
        (C, J) float64, rows adding up to 1.
    """
    place = {noun: index for index, noun in enumerate(nouns)}
    chances = np.zeros((len(CLASS_NAMES), len(nouns)))
    for row, name in enumerate(CLASS_NAMES):
        others = SYNONYMS.get(name, ())
        plain = PLAIN_SHARES.get(name, 1.0)
        chances[row, place[name]] = plain
        for other in others:
            chances[row, place[other]] = (1 - plain) / len(others)
    stray = np.zeros(len(nouns))
    stray[[place[name] for name in CLASS_NAMES]] = 1 / len(CLASS_NAMES)
    return (1 - STRAY_SHARE) * chances + STRAY_SHARE * stray


def captions() -> Captions:
    """Tokenise all captions with open_clip's standard tokenizer."""
    import open_clip

    nouns = CLASS_NAMES + tuple(dict.fromkeys(other for others in SYNONYMS.values() for other in others))
    texts = [write(template, noun) for template in TEMPLATES for noun in nouns]
    tokenize = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    tokens = tokenize(texts).view(len(TEMPLATES), len(nouns), CONTEXT_LENGTH)
    return Captions(nouns, tokens, noun_chances(nouns))
