"""Tar shards of photographs, as WebDataset's writers make them."""

import io
import tarfile
from pathlib import Path


def write_shard(file: Path, members: dict[str, bytes | str]) -> Path:
    """Write members by name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            encoded = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(encoded)
            archive.addfile(info, io.BytesIO(encoded))
    return file
