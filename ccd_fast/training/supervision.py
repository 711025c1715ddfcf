"""What a run's method is told of the labels, settled before any work; nothing else of the truth reaches it."""

from ccd_fast import systems
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.errors import UserError
from ccd_fast.labels import known as draws
from ccd_fast.labels.known import Matrix
from ccd_fast.machine import Ranks
from ccd_fast.recipes import Recipe


def known(source: Source, recipe: Recipe, images: ImageSet, ranks: Ranks) -> Matrix | None:
    """Draw what people's labels a run is told.

    Args:
        source: of the data set, and of the file of known labels, if there is one.
        recipe: names the system and what it is told.
        images: N training images.
        ranks: the processes that share the run.

    Returns:
        (N, C) int8; None where the method is told nothing by people.

    Raises:
        UserError: the system is not told that, or the labels are not there, or it does not run so.
    """
    knobs = recipe.system
    wanted = systems.source_of(knobs, source.known is not None)
    if not recipe.is_ccd and (ranks.size > 1 or recipe.train.compile):
        what = "several processes" if ranks.size > 1 else "train.compile"
        raise UserError(f"--system {knobs.name}: its losses are of whole batches, which {what} would cut: leave it out")
    if not recipe.is_ccd and recipe.labels.table != "memory":
        raise UserError(f"--system {knobs.name}: its labels live in memory: set labels.table=memory")
    if not recipe.is_ccd and recipe.compat == "official":
        raise UserError(f"--system {knobs.name}: compat = 'official' is how CCD's code does it; leave one of them out")
    if recipe.compat == "official" and source.known is not None:
        raise UserError("--known: the published code knows no labels; leave it out with compat = 'official'")
    if wanted == "file":
        return source.entries(images)
    if wanted not in systems.FROM_PEOPLE:
        return None
    truth = images.truth
    if truth is None or not truth[images.known].any():
        raise UserError(
            f"{images.root}: --system {knobs.name} with system.labels = {wanted!r} learns from known labels of the "
            "training images, and there are none: give --truth FILE, or --known FILE"
        )
    if wanted == "full":
        return draws.full(truth, images.known)
    if wanted == "partial":
        seed = draws.PARTIAL_SEED if knobs.draw == "published" else knobs.draw
        return draws.partial(truth, images.known, knobs.share, seed)
    seed = draws.ONE_POSITIVE_SEED if knobs.draw == "published" else knobs.draw
    return draws.few(truth, images.known, seed)
