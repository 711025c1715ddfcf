"""Stages: what a run is doing, how fast, and where its time goes."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from ccd_fast.errors import printable
from ccd_fast.machine import nvtx

PLAIN_INTERVAL = 30.0
"""Seconds between lines where no bar can be drawn."""


class Keeps(Protocol):
    """Keeps what a pass has done so far, so that it can go on; see :mod:`ccd_fast.runs.keeper`."""

    def restored(self) -> Mapping[str, Any] | None:
        """Give the state that the pass was left in; None where it begins."""
        ...

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Take the state of the pass after a batch, if it is wanted."""
        ...


class Forgets:
    """Keeps nothing: a pass begins anew."""

    def restored(self) -> None:
        """Give nothing."""

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Do nothing."""


class Stage:
    """One pass over something countable, timed as a whole and by part.

    Attributes:
        keeper: where the pass finds what it has done before, and leaves what it has done so far.
        views: that each network has seen.
        on_gpu: whether a GPU works: the parts then say where the host waits for it, not where it works.
    """

    def __init__(
        self,
        name: str,
        total: int,
        show: Callable[["Stage"], None],
        keeper: Keeps | None = None,
        least: Mapping[str, float] | None = None,
    ) -> None:
        """Start the clock.

        Args:
            name: of the stage.
            total: images.
            show: called after each advance.
            keeper: keeps what the pass has done.
            least: seconds that a view takes a network at least, where that is known.
        """
        self.keeper = keeper or Forgets()
        self.name = name
        self.total = total
        self.done = 0
        self.crops = 0
        self.repeats = 0
        self.hits = 0
        self._crops_before = 0
        self._seconds_before = 0.0
        self.parts: dict[str, float] = {}
        self.views: dict[str, int] = {}
        self.on_gpu = False
        self._least = least or {}
        self._show = show
        self._start = time.perf_counter()
        self._stopped: float | None = None

    def advance(self, images: int, crops: int = 0, repeats: int = 0, hits: int = 0) -> None:
        """Count images, and crops where the stage has any.

        Args:
            images: seen.
            crops: asked for.
            repeats: of them, those that are another crop of the same image again.
            hits: of the others, those whose scores were in the cache.
        """
        self.done += images
        self.crops += crops
        self.repeats += repeats
        self.hits += hits
        self._show(self)

    def go_on(self, images: int, crops: int = 0, seconds: float = 0.0) -> None:
        """Begin where the pass was left: what was done before counts, with the seconds that it took."""
        self._crops_before, self._seconds_before = crops, seconds
        self.advance(images, crops)

    def saw(self, network: str, views: int) -> None:
        """Count views that a network has seen."""
        self.views[network] = self.views.get(network, 0) + views

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of a block to a part of the stage; a profiler's timeline shows it."""
        start = time.perf_counter()
        try:
            with nvtx.shown(self.name, name):
                yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - start

    def stop(self) -> None:
        """Stop the clock."""
        self._stopped = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time that the pass took, until now or until the stop; also before it was interrupted."""
        return self._seconds_before + self._since

    @property
    def _since(self) -> float:
        """Seconds since the pass began, or went on."""
        return (self._stopped or time.perf_counter()) - self._start

    def rates(self) -> str:
        """Say the rates in a few words."""
        text = f"{self.done / self.seconds:.1f} images/s"
        text += f", {self.crops / self.seconds:.1f} crops/s" if self.crops else ""
        text += f", {self.hit_rate:.0%} cache hits" if self.hits else ""
        near = self.nearness()
        return text + ("" if near is None else f", {near:.0%} of a matrix product's speed")

    def nearness(self) -> float | None:
        """Give how near the stage is to what the device's arithmetic can do: the least time over the time it took.

        Returns:
            A share, mostly in 0 … 1; None where nothing is known of a network.
        """
        if not self.views or any(name not in self._least for name in self.views):
            return None
        return sum(count * self._least[name] for name, count in self.views.items()) / self._since

    @property
    def hit_rate(self) -> float:
        """Give the share of the distinct crops whose scores were in the cache, since the stage went on."""
        return self.hits / max(self.crops - self._crops_before - self.repeats, 1)

    def shares(self) -> dict[str, float]:
        """Give the share of the time that each part took since the pass went on; parts side by side exceed 1 in all."""
        return {name: round(seconds / self._since, 3) for name, seconds in self.parts.items()}

    def shown_shares(self) -> str:
        """Say the shares behind the rates; nothing where the stage has no parts."""
        shares = self.shares()
        parts = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
        parts += ", side by side" if sum(shares.values()) > 1.01 else ""
        whose = "where the host is: " if self.on_gpu else ""
        return f" ({whose}{parts})" if parts else ""

    def record(self) -> dict[str, Any]:
        """Give what ``metrics.jsonl`` says of the stage."""
        record: dict[str, Any] = {"stage": self.name, "images": self.done, "seconds": round(self.seconds, 3)}
        record["images_per_second"] = round(self.done / self.seconds, 2)
        if self.crops:
            record |= {"crops": self.crops, "crops_per_second": round(self.crops / self.seconds, 2)}
            record |= {"repeated_crops": self.repeats, "cache_hits": round(self.hit_rate, 4)}
        near = self.nearness()
        record |= {} if near is None else {"of_matmul": round(near, 3)}
        return record | {"share": self.shares()}


class Stages:
    """Shows the stages of a run, one after the other, and hands each one's record on when it ends.

    Attributes:
        least: by stage and network, the seconds that a view takes at least; see :mod:`ccd_fast.engines.ceilings`.
        on_gpu: whether the stages run on a GPU; see :class:`Stage`.
    """

    def __init__(
        self, console: Console, keep: Callable[[dict[str, Any]], None] | None = None, opening: str = ""
    ) -> None:
        """Show on ``console``; give each ended stage's record to ``keep``, if there is one.

        ``opening`` is a line that goes before everything else, once there is something to show.
        """
        self._opening = opening
        self.console = console
        self.keep = keep
        self.least: Mapping[str, Mapping[str, float]] = {}
        self.on_gpu = False

    def say(self, text: str) -> None:
        """Print a line between stages."""
        self._open()
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _open(self) -> None:
        opening, self._opening = self._opening, ""
        if opening:
            self.say(opening)

    @contextmanager
    def stage(self, name: str, total: int, keeper: Keeps | None = None, **labels: Any) -> Iterator[Stage]:
        """Run a stage over ``total`` images; ``labels`` (an epoch, say) go into its record."""
        title = name + "".join(f" {key} {value}" for key, value in labels.items())
        self._open()
        with self._display(title, total) as show:
            stage = Stage(name, total, show, keeper, self.least.get(name))
            stage.on_gpu = self.on_gpu
            yield stage
            stage.stop()
        self.say(f"{title}: {stage.done} images in {stage.seconds:.1f} s, {stage.rates()}{stage.shown_shares()}")
        if self.keep is not None:
            self.keep({**stage.record(), **labels})

    @contextmanager
    def _display(self, title: str, total: int) -> Iterator[Callable[[Stage], None]]:
        """A bar on a terminal, a line now and then elsewhere."""
        if not self.console.is_terminal:
            yield _plain_lines(self.say, title)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with _Bar(*columns, console=self.console, transient=True) as progress:
            task: TaskID = progress.add_task(title, total=total, below="")
            yield lambda stage: progress.update(
                task, completed=stage.done, below=f"{stage.rates()}{stage.shown_shares()}"
            )


class _Bar(Progress):
    """A bar, and below it what would not fit beside it."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Give the bar of each task, and the text of its field ``below``."""
        for task in self.tasks:
            yield self.make_tasks_table([task])
            yield Text(task.fields["below"], style="dim")


def _plain_lines(say: Callable[[str], None], title: str) -> Callable[[Stage], None]:
    last = time.perf_counter()

    def show(stage: Stage) -> None:
        nonlocal last
        if time.perf_counter() - last >= PLAIN_INTERVAL:
            last = time.perf_counter()
            say(f"{title}: {stage.done} of {stage.total}, {stage.rates()}{stage.shown_shares()}")

    return show
