"""A folder that plays a hub: `FOLDER/org/name/…`, or a folder that is one model itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from provision.sources.interface import Blame, Manifest, ModelRef, RemoteFile, SourceError

BLOCK = 1024 * 1024


class DirectorySource:
    """Models that lie in `path`. Their sha256 is computed when the manifest is asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def name(self) -> str:
        return f"dir:{self.path}"

    def manifest(self, ref: ModelRef) -> Manifest:
        """Return the files below `path/repo`, or below `path` where no such folder is. The commit is a digest of the files'
        digests. Raises SourceError `repo-not-found` where there are none."""
        root = self._root(ref.repo)
        names = sorted(_names(root)) if root.is_dir() else []
        if not names:
            raise self._error("repo-not-found", f"{self.path} holds no files of {ref.repo}")
        odd = next((root / name for name in names if not (root / name).is_file()), None)
        if odd:
            raise self._error("file-unreadable", f"{odd} is no regular file, or a link that leads nowhere")
        try:
            files = tuple(RemoteFile(name, (root / name).stat().st_size, sha256_of(root / name)) for name in names)
        except OSError as error:
            raise self._error("file-unreadable", f"a file of {root} cannot be read", str(error)) from None
        seal = hashlib.sha1("\n".join(f"{file.sha256} {file.path}" for file in files).encode(), usedforsecurity=False)
        return Manifest(ref.repo, ref.revision, seal.hexdigest(), files, self.name)

    def open(self, manifest: Manifest, file: RemoteFile, offset: int = 0, length: int | None = None) -> FileStream:
        """Return the file's bytes from `offset`, `length` of them or all. Raises SourceError."""
        try:
            return FileStream(self, self._root(manifest.repo) / file.path, offset, length)
        except OSError as error:
            raise self._error("file-not-found", f"{self.path} no longer has {file.path}", str(error)) from None

    def close(self) -> None:
        """Nothing is kept open."""

    def _root(self, repo: str) -> Path:
        """A folder of models, or one model's own: that one has files, where the other has folders alone."""
        nested = self.path / repo
        own = self.path.is_dir() and any(path.is_file() for path in self.path.iterdir())
        return self.path if own and not nested.is_dir() else nested

    def _error(self, reference: str, message: str, context: str = "") -> SourceError:
        return SourceError(message, blame=Blame(self.name), reference=reference, context=context)


class FileStream:
    """Bytes of a file on disk."""

    host = "this machine"
    ranged = True

    def __init__(self, source: DirectorySource, path: Path, offset: int, length: int | None) -> None:
        self._handle = path.open("rb", buffering=0)
        self._handle.seek(offset)
        self._left = length
        self._source = source
        self.total: int | None = os.fstat(self._handle.fileno()).st_size
        self.headers: Mapping[str, str] = {}

    def readinto(self, buffer: memoryview) -> int:
        """Fill what fits; 0 at the end. Raises SourceError."""
        view = buffer if self._left is None else buffer[: self._left]
        try:
            count = self._handle.readinto(view) if len(view) else 0
        except OSError as error:
            raise self._source._error("file-unreadable", "a file cannot be read", str(error)) from None
        if self._left is not None:
            self._left -= count
        return count

    def close(self) -> None:
        self._handle.close()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    digest, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as handle:
        while count := handle.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def _names(root: Path) -> list[str]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in files if not name.startswith(".provision")]
    return found
