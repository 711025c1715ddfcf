"""How tests ask the fork server: commands side by side, killed or not."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, killed or not, what it said, seconds of a processor, processes that it left."""

    code: int
    killed: bool
    said: str
    worked: float
    left: int


class Server:
    """A process that forks commands; see ``fork_server.py``."""

    def __init__(self, folder: Path, cache: Path, disk: Path | None = None) -> None:
        """Start it: with a small disk of its own at a folder, which others see below :attr:`inside` only."""
        self._folder, self._cache, self._disk = folder, cache, disk
        apart = [] if disk is None else ["unshare", "--user", "--map-root-user", "--mount"]
        own = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false", "CUDA_VISIBLE_DEVICES": ""}
        own |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "COLUMNS": "250"}
        self.process = subprocess.Popen(
            [*apart, sys.executable, Path(__file__).with_name("fork_server.py"), *([disk] if disk else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own},
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.communicate()

    @property
    def inside(self) -> Path:
        """Give the root as the server sees it."""
        return Path(f"/proc/{self.process.pid}/root")

    def ask(self, **asked: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the fork server has ended"
        return json.loads(line)

    def run(self, words: Sequence[Any], cache: Path | None = None, **how: Any) -> Ended:
        """Run a command; ``after`` so many seconds of a processor it is killed."""
        return self.together([words], cache, **how)[0]

    def together(self, commands: Sequence[Sequence[Any]], cache: Path | None = None, **how: Any) -> list[Ended]:
        """Run commands side by side."""
        environment: Mapping[str, str] = {"CCD_CACHE": str(cache or self._cache), **how.pop("environment", {})}
        learn = {} if "after" in how or len(commands) > 1 else {"modules": str(self._folder / "modules")}
        found = self.ask(
            commands=[[str(word) for word in words] for words in commands],
            said=str(self._folder / "said"),
            environment=environment,
            **learn,
            **how,
        )
        return [Ended(end["code"], end["killed"], end["said"], end["worked"], found["left"]) for end in found["ends"]]
