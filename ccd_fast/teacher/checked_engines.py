"""Engines that were compared with open_clip before anything relies on them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ccd_fast import engines
from ccd_fast.engines import EngineSettings, ImageEngine, Store, tensorrt_runtime
from ccd_fast.errors import RunError, UserError
from ccd_fast.teacher.clip import Clip
from ccd_fast.teacher.parity import Parity, beyond_limits, compare, reference_embeddings

IMAGES = 32
"""Images that an engine is checked on: enough to see a wrong graph, few enough for a large teacher on a CPU."""


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes:
        settings: with the runtime that ``"auto"`` stood for.
        file: of the engine.
        fresh: whether it was built now.
        seconds: that the build took.
        parity: None where the engine cannot run here.
        why_no_parity: the reason.
    """

    settings: EngineSettings
    file: Path
    fresh: bool
    seconds: float
    parity: Parity | None
    why_no_parity: str


def open_checked(
    clip: Clip,
    settings: EngineSettings,
    store: Store,
    classes: torch.Tensor,
    pixels: Callable[[int], torch.Tensor],
    anew: bool = False,
) -> tuple[ImageEngine, Parity | None]:
    """Open a teacher's engine, and measure its parity if that is not in its manifest yet.

    Args:
        clip: the teacher's CLIP.
        settings: how the engine is to run.
        store: where engines are kept.
        classes: (C, D) float32, class embeddings.
        pixels: gives up to as many views as asked for, (M, S, S, 3) uint8.
        anew: measure the parity again, on these views.

    Returns:
        The engine, and its parity; None for the reference itself, or where there is not a picture to compare.

    Raises:
        UserError: the engine cannot be had.
        RunError: the engine is beyond the limits of its precision; it is removed from the store.
    """
    engine = engines.open_engine(clip.tower, settings, store)
    settings = replace(settings, runtime=engine.runtime)
    if settings.runtime == "torch" and settings.precision == "fp32":
        return engine, None

    def measured() -> Parity | None:
        views = pixels(IMAGES).cpu()  # where open_clip's own model is
        if not len(views):
            return None
        ours = engine.embed(views.to(settings.device)).cpu()
        return compare(ours, reference_embeddings(clip, views), classes, clip.scale)

    return engine, noted_parity(f"engine of {clip.name}", settings, store, [engine.key], measured, anew)


def noted_parity(
    what: str,
    settings: EngineSettings,
    store: Store,
    keys: Sequence[str],
    measured: Callable[[], Parity | None],
    anew: bool = False,
) -> Parity | None:
    """Give the parity that an engine's manifest holds, or measure it and note it there.

    Args:
        what: was compared, for the message.
        settings: how the engine runs.
        store: where it is kept.
        keys: of all its files; the manifest of the first one is that which holds the parity.
        measured: compares; gives None where there is not a picture to compare.
        anew: measure it even if it is there.

    Raises:
        RunError: the engine is beyond the limits of its precision; it is removed from the store.
    """
    way = f"{settings.runtime} {settings.device.split(':')[0]}"
    kept, is_kept = kept_parity(store, keys[0]), engines.RUNTIMES[settings.runtime].build is not None
    if way in kept and not anew:
        return kept[way]
    parity = measured()
    if parity is None:
        return None
    if problem := beyond_limits(parity, settings.precision):
        removed = ""
        if is_kept:
            for key in keys:
                store.remove(key)
            removed = "; it was removed from the store"
        raise RunError(f"{what}, {settings.precision} by {settings.runtime}: {problem}{removed}")
    if is_kept:
        store.note(keys[0], parity={name: asdict(p) for name, p in {**kept, way: parity}.items()})
    return parity


def build_checked(
    clip: Clip,
    settings: EngineSettings,
    store: Store,
    classes: torch.Tensor,
    pixels: Callable[[int], torch.Tensor],
    force: bool,
    anew: bool = False,
) -> Built:
    """Build an engine ahead of time, and compare it where it can run.

    A TensorRT-RTX plan can be built where no GPU is; it is compared when it is first opened on one.

    Args:
        clip: the teacher's CLIP.
        settings: how the engine is to run.
        store: where engines are kept.
        classes: (C, D) float32, class embeddings.
        pixels: gives up to as many views as asked for, (M, S, S, 3) uint8.
        force: build it anew.
        anew: measure the parity again even if the engine was compared before.

    Raises:
        UserError: the runtime keeps no engine, or cannot be built here.
        RunError: the engine is beyond the limits of its precision; it is removed from the store.
    """
    settings = _with_a_file(settings)
    runs = settings.runtime != "tensorrt" or not tensorrt_runtime.problem(settings.device, settings.precision)
    file, fresh = engines.build(clip.tower, settings, store, force)
    seconds = store.manifest(file.parent.name)["seconds"]
    if not runs:
        return Built(settings, file, fresh, seconds, None, tensorrt_runtime.problem(settings.device, "fp32"))
    _, parity = open_checked(clip, settings, store, classes, pixels, anew)
    return Built(settings, file, fresh, seconds, parity, "" if parity else "no picture to compare on")


def _with_a_file(settings: EngineSettings) -> EngineSettings:
    """Put in place of ``"auto"`` the first runtime that keeps a file and works here.

    Raises:
        UserError: there is none; the line says why of each.
    """
    if settings.runtime != "auto":
        cannot_run_here = settings.runtime == "tensorrt" and not tensorrt_runtime.can_build(settings.device)
        return settings if cannot_run_here else engines.resolve(settings)
    kept = {name: runtime for name, runtime in engines.RUNTIMES.items() if runtime.build is not None}
    problems = {name: runtime.problem(settings.device, settings.precision) for name, runtime in kept.items()}
    works = [name for name, why in problems.items() if not why]
    if not works:
        reasons = "; ".join(f"{name}: {why}" for name, why in problems.items())
        plan = ""
        if not tensorrt_runtime.can_build(settings.device):
            plan = "; a plan for a GPU elsewhere: --runtime tensorrt"
        raise UserError(f"no engine in {settings.precision} for {settings.device}: {reasons}{plan}")
    return replace(settings, runtime=works[0])


def kept_parity(store: Store, key: str) -> dict[str, Parity]:
    """Give what the manifest of an engine says of its parity, by runtime and device."""
    kept = store.manifest(key).get("parity", {}) if store.has(key) else {}
    return {way: Parity(**figures) for way, figures in kept.items()}
