"""What a hub serves: models with their files, from plain folders or from a store. The protocols see nothing else.

A client's words are looked up here among known names; they never become a path.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provision.errors import UsageError
from provision.store import ModelRecord, Store
from provision.store.record import DEFAULT_REVISIONS

BLOCK = 1024 * 1024
PLAIN = 1024 * 1024  # files up to this size in a folder are offered as git blobs, larger ones as LFS objects
FRESH = 1.0  # seconds for which a folder's listing is taken as it was
HIDDEN = (".provision", ".git", ".cache", "__pycache__")


@dataclass(frozen=True)
class HubFile:
    """One file. `blob_id` is git's SHA-1 of it, and None for an LFS object; `modified` in nanoseconds, 0 where content
    under `location` cannot change."""

    path: str
    size: int
    sha256: str
    blob_id: str | None
    location: Path
    modified: int = 0

    @property
    def etag(self) -> str:
        """What Hugging Face's ETag is: the blob id, or the sha256 of an LFS object."""
        return self.blob_id or self.sha256


@dataclass(frozen=True)
class HubModel:
    """One commit of a model. `revisions` are the names that lead to it; `created` in seconds since 1970."""

    repo: str
    commit: str
    revisions: tuple[str, ...]
    files: Mapping[str, HubFile]
    created: float


class Catalogue(Protocol):
    """Models to serve; asked from several threads."""

    def repos(self) -> Sequence[str]:
        """Return the names of all models."""

    def versions(self, repo: str) -> Sequence[HubModel]:
        """Return the commits of a model, the current one first; none where there is no such model. May hash files."""


def pick(versions: Sequence[HubModel], revision: str) -> HubModel | None:
    """Return the version that `revision` names, or None; the default branch's names lead to the current one."""
    default = revision in DEFAULT_REVISIONS
    names = {*DEFAULT_REVISIONS} if default else {revision}
    found = (model for model in versions if revision == model.commit or names & {*model.revisions})
    return next(found, versions[0] if versions and default else None)


class FolderCatalogue:
    """Plain folders, each one model. Their files are hashed when first asked for, and again when they change."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = {repo: Path(folder) for repo, folder in folders.items()}
        self._hashed: dict[tuple[Path, int, int, int], tuple[str, str]] = {}
        self._known: dict[str, tuple[float, HubModel]] = {}
        self._lock = threading.Lock()

    @classmethod
    def below(cls, root: Path) -> FolderCatalogue:
        """Return the catalogue of `root/org/name/…`."""
        names = [path for path in sorted(root.glob("*/*")) if path.is_dir() and not path.parent.name.startswith(".")]
        return cls({path.relative_to(root).as_posix(): path for path in names})

    def repos(self) -> Sequence[str]:
        return list(self._folders)

    def versions(self, repo: str) -> Sequence[HubModel]:
        folder = self._folders.get(repo)
        if folder is None:
            return []
        with self._lock:
            at, model = self._known.get(repo, (0.0, None))
            if model is None or time.monotonic() - at > FRESH:
                model = self._look(repo, folder)
                self._known[repo] = (time.monotonic(), model)
        return [model] if model.files else []

    def _look(self, repo: str, folder: Path) -> HubModel:
        found = {path: self._file(path, (folder / path).resolve()) for path in _names(folder)}
        created = max((file.modified for file in found.values()), default=0) / 1e9
        return HubModel(repo, commit_of({path: file.sha256 for path, file in found.items()}), (), found, created)

    def _file(self, path: str, location: Path) -> HubFile:
        stat = location.stat()
        key = (location, stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if key not in self._hashed:
            self._hashed[key] = _digests(location, stat.st_size)
        sha256, blob_id = self._hashed[key]
        return HubFile(path, stat.st_size, sha256, blob_id if stat.st_size <= PLAIN else None, location, stat.st_mtime_ns)


class StoreCatalogue:
    """A store's models: every commit that it holds. What a pull adds is served at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], tuple[ModelRecord, HubModel]] = {}

    def repos(self) -> Sequence[str]:
        return list(dict.fromkeys(record.repo for record in self._store.models()))

    def versions(self, repo: str) -> Sequence[HubModel]:
        try:
            return [self._model(record) for record in self._store.versions(repo)]
        except UsageError:  # no repository can have that name
            return []

    def _model(self, record: ModelRecord) -> HubModel:
        known, model = self._known.get((record.repo, record.commit), (None, None))
        if model is None or known is not record:
            files = {
                file.path: HubFile(file.path, file.size, file.sha256, file.blob_id, self._store.blob_path(file.sha256))
                for file in record.files
            }
            model = HubModel(record.repo, record.commit, record.revisions, files, record.published)
            self._known[record.repo, record.commit] = record, model
        return model


def commit_of(files: Mapping[str, str]) -> str:
    """Return 40 hexadecimal digits that stand for these contents (`path` to sha256), where no hub gave a commit.

    The SHA-1 of one line `<sha256>  <path>` a file, sorted by path, as `provision.embedded.commit` has it.
    """
    lines = (f"{files[path]}  {path}\n" for path in sorted(files))
    return hashlib.sha1("".join(lines).encode(), usedforsecurity=False).hexdigest()


def _names(root: Path) -> list[str]:
    """Return the regular files below `root`; a link that leads out of it is none of them."""
    inside, found = root.resolve(), []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in HIDDEN]
        paths = [Path(folder) / name for name in files if name not in HIDDEN]
        found += [path for path in paths if path.is_file() and path.resolve().is_relative_to(inside)]
    return sorted(path.relative_to(root).as_posix() for path in found)


def _digests(path: Path, size: int) -> tuple[str, str]:
    sha256, blob = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    view = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as handle:
        while count := handle.readinto(view):
            sha256.update(view[:count])
            if size <= PLAIN:
                blob.update(view[:count])
    return sha256.hexdigest(), blob.hexdigest()
