"""What ``compat = "official"`` allows: a knob that the published code does not heed must not look as if it were."""

from ccd_fast.errors import UserError
from ccd_fast.recipes.recipe import Recipe

BACKBONE = "resnet50"
"""The student's backbone, whatever was asked for."""

TAU_START, TAU_START_WITHOUT_FLOOR = 0.05, 0.001
"""Where the search of the activity threshold starts."""

SMALLEST_CROP = 31
"""Pixels of a side below which the attention pool has no position."""


def settled(recipe: Recipe) -> Recipe:
    """Give the recipe that the published code runs whatever it is asked: ResNet-50, and one way for the pixels.

    Raises:
        UserError: in one line, all knobs that have to be set to another value.
    """
    problems = [f"{key}={wanted}" for key, value, wanted in _wanted(recipe) if value != wanted]
    if problems:
        raise UserError(f"compat = 'official' does not heed every knob: set {', '.join(problems)}")
    if margin_pixels(recipe) < SMALLEST_CROP:
        raise UserError(
            f"compat = 'official': a crop may be as narrow as the margin, {margin_pixels(recipe)} pixels here, and "
            f"the teacher's attention pool needs {SMALLEST_CROP}: raise student.relabel_image_size or relabel.margin"
        )
    student = recipe.student.model_copy(update={"backbone": BACKBONE, "runtime": "torch"})
    teacher = recipe.teacher.model_copy(update={"runtime": "torch"})
    views = recipe.views.model_copy(update={"backend": "pillow"})
    train = recipe.train.model_copy(update={"precision": "fp32"})
    return recipe.model_copy(update={"student": student, "teacher": teacher, "views": views, "train": train})


def margin_pixels(recipe: Recipe) -> int:
    """Give the growth of a box in pixels of the relabel view."""
    return round(recipe.relabel.margin * recipe.student.relabel_size)


def _wanted(recipe: Recipe) -> list[tuple[str, object, object]]:
    """List knob, value, and the value that it must have."""
    auto_or = {
        "teacher.runtime": (recipe.teacher.runtime, "torch"),
        "student.runtime": (recipe.student.runtime, "torch"),
        "views.backend": (recipe.views.backend, "pillow"),
        "train.precision": (recipe.train.precision, "fp32"),
    }
    return [
        *((key, wanted if value == "auto" else value, wanted) for key, (value, wanted) in auto_or.items()),
        ("teacher.image_size", recipe.teacher.image_size, recipe.student.relabel_size),
        ("bias.min_count", recipe.bias.min_count, 1),
        ("student.head", recipe.student.head, "drawn"),
        ("relabel.min_tau", recipe.relabel.min_tau, start_of_search(recipe.labels.floor)),
        ("teacher.temperature", recipe.teacher.temperature, 1.0),
        ("teacher.names", recipe.teacher.names, "given"),
        ("labels.grids", recipe.labels.grids, []),
        ("labels.neighbours", recipe.labels.neighbours, 0),
        ("labels.anchors", recipe.labels.anchors, "none"),
        ("labels.table", recipe.labels.table, "memory"),
        ("bias.again", recipe.bias.again, False),
        ("relabel.tau", recipe.relabel.tau, "once"),
        ("relabel.settle", recipe.relabel.settle, 0.0),
        ("relabel.average", recipe.relabel.average, "moving"),
        ("relabel.teacher", recipe.relabel.teacher, "crops"),
        ("relabel.student", recipe.relabel.student, "pass"),
        ("relabel.whole", recipe.relabel.whole, False),
        ("relabel.cache_mib", recipe.relabel.cache_mib, 0),
        ("relabel.cache_grid", recipe.relabel.cache_grid, 0),
        ("views.choice", recipe.views.choice, "cam"),
        ("views.per_class", recipe.views.per_class, 1),
        ("views.jitter", recipe.views.jitter, 0.0),
        ("train.compile", recipe.train.compile, False),
        ("system.name", recipe.system.name, "ccd"),
        ("system.labels", recipe.system.labels, "own"),
    ]


def start_of_search(floor: float) -> float:
    """Give the value that the search of the activity threshold starts from."""
    return TAU_START if floor > 0 else TAU_START_WITHOUT_FLOOR
