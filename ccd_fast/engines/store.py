"""The engine store: built engines on disk, each under a key of everything that it depends on."""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ccd_fast.engines.cache import default_folder, held, instead_of, tell, writable
from ccd_fast.errors import RunError, UserError
from ccd_fast.machine import folder_in_the_making

MANIFEST = "manifest.json"


class StoreRefusedError(UserError):
    """The store is not the user's own, or holds something that is not what it says."""


class StoreFullError(RunError):
    """The disk of the store is full."""


class Store:
    """A folder with one sub-folder an engine: its files, and a manifest.

    The manifest holds ``identity`` (everything that the engine depends on; its hash is the key), ``files`` (name to
    size in bytes and SHA-256), ``seconds`` (of the build) and what :meth:`note` adds, such as the parity that was
    measured.
    """

    def __init__(self, cache: Path | None = None) -> None:
        """Open the store under a cache folder; by default :func:`default_folder`."""
        self.folder = (cache or default_folder()) / "engines"

    def path(self, key: str) -> Path:
        """Give the folder of an engine: in the cache, or in what stands in its place where it cannot be written to."""
        instead = instead_of(self.folder)
        in_cache = (self.folder / key / MANIFEST).is_file()
        return self.folder / key if in_cache or instead is None else instead / key

    def has(self, key: str) -> bool:
        """Tell whether an engine is there, whole."""
        return (self.path(key) / MANIFEST).is_file()

    def manifest(self, key: str) -> dict[str, Any]:
        """Read an engine's manifest.

        Raises:
            StoreRefusedError: it is damaged.
        """
        try:
            manifest: dict[str, Any] = json.loads((self.path(key) / MANIFEST).read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreRefusedError(f"engine {key}: its {MANIFEST} is damaged ({error}): {mend(key)}") from error
        if not isinstance(manifest, dict):
            raise StoreRefusedError(f"engine {key}: its {MANIFEST} is damaged (no table): {mend(key)}")
        return manifest

    def keys(self) -> list[str]:
        """List the engines that are there."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{MANIFEST}"))

    def problem(self, key: str) -> str:
        """Say why an engine cannot be used, as far as its manifest and the sizes of its files tell, or nothing."""
        try:
            self._refuse_wrong_sizes(key, self.manifest(key))
        except StoreRefusedError as error:
            return str(error)
        return ""

    def damaged(self) -> list[str]:
        """List the engines with a :meth:`problem`."""
        return [key for key in self.keys() if self.problem(key)]

    def remove(self, key: str) -> None:
        """Remove an engine, if it is there."""
        shutil.rmtree(self.path(key), ignore_errors=True)

    def size(self, key: str) -> int:
        """Give the bytes that an engine takes."""
        return sum(file.stat().st_size for file in self.path(key).iterdir())

    def get(self, identity: Mapping[str, Any], write: Callable[[Path], object], need: Callable[[], int] = int) -> Path:
        """Give the folder of an engine, building it first if it is not there.

        Processes that want the same engine at once wait for the first, which builds it.

        Args:
            identity: everything that the engine depends on.
            write: writes the engine's files into the folder that it is given.
            need: gives the bytes that the files take, about, for the message where the disk is full.

        Raises:
            StoreRefusedError: the store is not the user's own, or what is there is not what its key says.
            StoreFullError: the disk is full.
        """
        key = key_of(identity)
        self._refuse_foreign(key)
        if not self.has(key):
            folder = writable(self.folder)
            locks = folder / ".locks"
            locks.mkdir(exist_ok=True)
            with held(locks / key, f"engine {key}"):
                if not self.has(key):
                    self._build(folder, key, identity, write, need)
        self.check(identity)
        return self.path(key)

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse an engine that was built from something else than ``identity``, or lacks a part.

        Raises:
            StoreRefusedError: it says what differs, and the command that rebuilds it.
        """
        key = key_of(identity)
        manifest = self.manifest(key)
        built, wanted = _flat(manifest.get("identity", {})), _flat(identity)
        for name in sorted(wanted.keys() | built.keys()):
            if built.get(name) != wanted.get(name):
                was, needed = built.get(name, "nothing"), wanted.get(name, "nothing")
                raise StoreRefusedError(f"engine {key}: built for {name} {was}, not {needed}: {mend(key)}")
        self._refuse_wrong_sizes(key, manifest)
        for name, facts in manifest.get("files", {}).items():
            if _sha256(self.path(key) / name) != facts["sha256"]:
                raise StoreRefusedError(f"engine {key}: {name} has changed since it was built: {mend(key)}")

    def _refuse_wrong_sizes(self, key: str, manifest: Mapping[str, Any]) -> None:
        for name, facts in manifest.get("files", {}).items():
            file = self.path(key) / name
            if not file.is_file() or file.stat().st_size != facts["bytes"]:
                raise StoreRefusedError(f"engine {key}: {name} is missing or cut short: {mend(key)}")

    def note(self, key: str, **facts: Any) -> None:
        """Add facts to an engine's manifest."""
        text = json.dumps({**self.manifest(key), **facts}, indent=2) + "\n"
        temporary = self.path(key) / f".{MANIFEST}.{os.getpid()}"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path(key) / MANIFEST)
        except OSError as error:  # the engine is as good as before, and its facts are found out anew
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            tell(self.folder, error)

    def _build(
        self,
        folder: Path,
        key: str,
        identity: Mapping[str, Any],
        write: Callable[[Path], object],
        need: Callable[[], int],
    ) -> None:
        """Build in a temporary folder and move it into place, whole or not at all."""
        try:
            with folder_in_the_making(folder, ".building-") as temporary:
                self._build_in(temporary / key, folder / key, identity, write)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            wanted, free = (size / 2**20 for size in (need(), shutil.disk_usage(folder).free))
            raise StoreFullError(
                f"{folder}: the disk is full: an engine needs about {wanted:.0f} MiB, and {free:.0f} are free; make "
                "room, or set CCD_CACHE to a folder where there is some"
            ) from error

    def _build_in(self, fresh: Path, place: Path, identity: Mapping[str, Any], write: Callable[[Path], object]) -> None:
        fresh.mkdir()
        start = time.perf_counter()
        write(fresh)
        files = {file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(fresh.iterdir())}
        manifest = {"identity": identity, "files": files, "seconds": round(time.perf_counter() - start, 2)}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)  # what a killed removal may have left: a folder without a manifest
        fresh.rename(place)

    def _refuse_foreign(self, key: str) -> None:
        """An engine is code: it is run only from a folder that nobody else can write to."""
        for folder in (self.folder, self.path(key)):
            if not hasattr(os, "getuid") or not folder.exists():
                return
            status = folder.stat()
            if status.st_uid != os.getuid():
                raise StoreRefusedError(
                    f"engine store {folder}: belongs to another user; set CCD_CACHE to a folder of yours"
                )
            if status.st_mode & 0o002:
                raise StoreRefusedError(
                    f"engine store {folder}: everyone can write to it: chmod o-w it, or set CCD_CACHE"
                )


def key_of(identity: Mapping[str, Any]) -> str:
    """Hash everything that an engine depends on into its key, 20 hexadecimal digits."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def mend(key: str) -> str:
    """Say how a damaged engine is got rid of."""
    return f"remove it with `ccd-fast build-engines --remove {key}`; whatever needs it builds it anew"


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give a nested table as ``{"exporter.torch": …}``."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
