"""The engine store: built engines on disk, each under a key of everything that it depends on."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def default_folder() -> Path:
    """Give ``$CCD_CACHE``, or else ``ccd_fast`` in the user's cache folder."""
    if cache := os.environ.get("CCD_CACHE"):
        return Path(cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ccd_fast"


class Store:
    """A folder with one sub-folder an engine: its files, and a manifest that says what it was built from."""

    def __init__(self, cache: Path | None = None) -> None:
        """Open the store under a cache folder; by default :func:`default_folder`."""
        self.folder = (cache or default_folder()) / "engines"

    def path(self, key: str) -> Path:
        """Give the folder of an engine."""
        return self.folder / key

    def has(self, key: str) -> bool:
        """Tell whether an engine is there, whole."""
        return (self.path(key) / MANIFEST).is_file()

    def manifest(self, key: str) -> dict[str, Any]:
        """Read what an engine was built from."""
        manifest: dict[str, Any] = json.loads((self.path(key) / MANIFEST).read_text(encoding="utf-8"))
        return manifest

    def keys(self) -> list[str]:
        """List the engines that are there."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{MANIFEST}"))

    def remove(self, key: str) -> None:
        """Remove an engine, if it is there."""
        shutil.rmtree(self.path(key), ignore_errors=True)

    def add(self, key: str, manifest: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        """Build an engine in a temporary folder and move it into place, whole or not at all.

        Args:
            key: of the engine.
            manifest: what it was built from.
            write: writes the engine's files into the folder that it is given.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".building-") as temporary:
            fresh = Path(temporary) / key
            fresh.mkdir()
            write(fresh)
            (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            try:
                fresh.rename(self.path(key))
            except OSError:  # another process was first: the same key means the same engine
                if not self.has(key):
                    raise


def key_of(identity: Mapping[str, Any]) -> str:
    """Hash everything that an engine depends on into its key, 20 hexadecimal digits."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]
