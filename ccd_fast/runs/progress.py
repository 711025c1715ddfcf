"""Stages: what a run is doing, how fast, and where its time goes."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from ccd_fast.errors import printable
from ccd_fast.machine import nvtx
from ccd_fast.runs.durations import in_words

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
        of: str = "photographs",
    ) -> None:
        """Start the clock.

        Args:
            name: of the stage.
            total: images.
            show: called after each advance.
            keeper: keeps what the pass has done.
            least: seconds that a view takes a network at least, where that is known.
            of: what the images are, for people.
        """
        self.of = of
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

    @property
    def rate(self) -> float:
        """Photographs a second."""
        return self.done / max(self.seconds, 1e-9)

    def remaining(self) -> float:
        """Give the seconds that the rest of the pass takes at this rate, once something is done."""
        return (self.total - self.done) / self.rate

    def for_people(self, ended: bool) -> str:
        """Say how far the pass is, how fast, and how long it still takes; at its end how long it took."""
        if ended:
            return f"{self.done:,} {self.of} in {in_words(self.seconds)}, {self.rate:,.1f} a second"
        left = f", {in_words(self.remaining())} left" if self.done else ""
        return f"{self.done:,} of {self.total:,} {self.of}, {self.rate:.1f} a second{left}"

    def rates(self) -> str:
        """Say the rates in full, for ``--verbose``."""
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
        verbose: whether the shares of the parts, crops a second and the nearness to the hardware are shown too.
        outlook: says how long all that follows will take, after each stage; nothing where that is not known.
    """

    def __init__(
        self,
        console: Console,
        keep: Callable[[dict[str, Any]], None] | None = None,
        opening: str = "",
        verbose: bool = False,
    ) -> None:
        """Show on ``console``; give each ended stage's record to ``keep``, if there is one.

        ``opening`` is a line that goes before everything else, once there is something to show.
        """
        self.verbose = verbose
        self.outlook: Callable[[], str] = str
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
    def stage(
        self, name: str, total: int, keeper: Keeps | None = None, of: str = "photographs", **labels: Any
    ) -> Iterator[Stage]:
        """Run a stage over ``total`` images; ``labels`` (an epoch, say) go into its record."""
        title = name + "".join(f" {key} {value}" for key, value in labels.items())
        self._open()
        with self._display(title, total) as show:
            stage = Stage(name, total, show, keeper, self.least.get(name), of)
            stage.on_gpu = self.on_gpu
            yield stage
            stage.stop()
        if self.keep is not None:
            self.keep({**stage.record(), **labels})
        if not total:  # a data set without test images, say
            return
        outlook = self.outlook()
        self.say(f"{title}: {self._shown(stage, True)}" + (f"; {outlook}" if outlook else ""))

    def _shown(self, stage: Stage, ended: bool = False) -> str:
        """Say how far a stage is; with ``verbose`` also where its time goes."""
        more = f" ({stage.rates()}{stage.shown_shares()})" if self.verbose else ""
        return stage.for_people(ended) + more

    @contextmanager
    def _display(self, title: str, total: int) -> Iterator[Callable[[Stage], None]]:
        """A bar on a terminal, a line now and then elsewhere."""
        if not self.console.is_terminal:
            yield _plain_lines(self.say, title, self._shown)
            return
        columns = (TextColumn("{task.description}"), BarColumn())
        with _Bar(*columns, console=self.console, transient=True) as progress:
            task: TaskID = progress.add_task(title, total=total, below="")
            yield lambda stage: progress.update(task, completed=stage.done, below=self._shown(stage))


class _Bar(Progress):
    """A bar, and below it what would not fit beside it."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Give the bar of each task, and the text of its field ``below``."""
        for task in self.tasks:
            yield self.make_tasks_table([task])
            yield Text(task.fields["below"], style="dim")


def _plain_lines(say: Callable[[str], None], title: str, shown: Callable[[Stage], str]) -> Callable[[Stage], None]:
    last = time.perf_counter()

    def show(stage: Stage) -> None:
        nonlocal last
        if time.perf_counter() - last >= PLAIN_INTERVAL:
            last = time.perf_counter()
            say(f"{title}: {shown(stage)}")

    return show
