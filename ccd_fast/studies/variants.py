"""What the paper's tables need: which trainings, and what each changes in the recipe.

Three tables: the components of the method, debiasing class by class, and the toy experiment on where the teacher
looks. They share trainings: the first two need the same ones, and all three the full method.
"""

from collections.abc import Collection

from ccd_fast.errors import UserError
from ccd_fast.labels.view_choice import MOVED, NEED_BOXES, SEVERAL
from ccd_fast.recipes import Recipe

FULL = "update, debias and consistency"
IN_FULL = f"{FULL}, trained in full"
WITHOUT_DEBIAS = "update and consistency"
NO_DEBIAS, NO_CONSISTENCY = "bias.debias=false", "consistency.mu=0"
CONSISTENCY = "consistency.mu=1.0"
"""The paper's, where a recipe does without."""
COMPONENTS: dict[str, tuple[str, ...]] = {
    FULL: (),
    "no update": ("relabel.epochs=0", NO_DEBIAS, NO_CONSISTENCY),
    "update": (NO_DEBIAS, NO_CONSISTENCY),
    "update and debias": (NO_CONSISTENCY,),
    WITHOUT_DEBIAS: (NO_DEBIAS,),
}
"""Each row of the table with what it changes in the recipe; the full method first, as it matters most."""
FROZEN = ("train.backbone_learning_rate=0", "student.runtime=torch")
"""The backbone stays as it is; its features are remembered, which an engine of the student would not do."""
VIEWS = {
    "whole": "the whole image again",
    "grid": "the cells of a grid",
    "random": "random boxes",
    "ground-truth": "the objects' own boxes",
    "near-ground-truth": "near the objects' boxes",
    "cam": "the student's CAMs",
}
"""Rows of the toy experiment by ``views.choice``; all with the full method but for where the teacher looks."""
NEAR = 0.25
"""How far each side of a box moves at most, as a share of its width or height, where the recipe has no jitter of its
own: far enough to cut parts off and to take surroundings in, and the object stays in sight."""


def variants(
    recipe: Recipe, tables: Collection[str], has_boxes: bool, frozen: bool = False
) -> dict[str, tuple[str, ...]]:
    """List the trainings that some tables need; tables share what they can.

    Args:
        recipe: of the full method.
        tables: "components", "classes" or "views".
        has_boxes: whether boxes of the objects are known; without them the views that need them are left out.
        frozen: keep the backbone as it is in all trainings but one more, which is the full method trained in full.

    Returns:
        Each row with its overrides, the full method first.

    Raises:
        UserError: the recipe is not that of the full method.
    """
    _refuse_less_than_the_full_method(recipe)
    found: dict[str, tuple[str, ...]] = {FULL: ()}
    if "components" in tables:
        found |= COMPONENTS
    if "classes" in tables:
        found[WITHOUT_DEBIAS] = COMPONENTS[WITHOUT_DEBIAS]
    if "views" in tables:
        choices = [c for c in VIEWS if c != "cam" and (has_boxes or c not in NEED_BOXES)]
        found |= {VIEWS[choice]: _looking(recipe, choice) for choice in choices}
    if frozen:
        learns = (f"train.backbone_learning_rate={recipe.train.backbone_rate}",)  # of few photographs "auto" freezes it
        found = {FULL: FROZEN, IN_FULL: learns, **{row: (*own, *FROZEN) for row, own in found.items() if row != FULL}}
    if not recipe.consistency.mu:  # a recipe may do without what the tables are to show
        found = {row: (CONSISTENCY, *own) for row, own in found.items()}
    return found


def slug(row: str) -> str:
    """Give the folder's name of a row."""
    return "".join(c if c.isalnum() else "-" for c in row.replace("'", "").replace(", ", " "))


def _looking(recipe: Recipe, choice: str) -> tuple[str, ...]:
    """Change where the teacher looks, and turn off what the choice would not heed."""
    overrides = [f"views.choice={choice}", "relabel.cache_grid=0"]
    overrides += [] if choice in SEVERAL else ["views.per_class=1"]
    overrides += [] if choice in MOVED else ["views.jitter=0.0"]
    if choice == "near-ground-truth":
        overrides.append(f"views.jitter={recipe.views.jitter or NEAR}")
    return tuple(overrides)


def _refuse_less_than_the_full_method(recipe: Recipe) -> None:
    lacking = {
        "bias.debias=true": recipe.bias.debias,
        "relabel.epochs above 0": recipe.relabel.epochs != 0,
        "train.epochs above train.warmup_epochs": recipe.train.epochs > recipe.train.warmup_epochs,
        "views.choice=cam": recipe.views.choice == "cam",
        "train.backbone_learning_rate above 0 (--frozen freezes it)": recipe.train.backbone_learning_rate != 0,
    }
    missing = [knob for knob, there in lacking.items() if not there]
    if missing:
        raise UserError(f"the tables leave parts out themselves; the recipe must have {', '.join(missing)}")
