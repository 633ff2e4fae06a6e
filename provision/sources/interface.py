"""What a hub is to us: a manifest, and bytes from an offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from provision.errors import ArrivalError


@dataclass(frozen=True)
class ModelRef:
    """A model as a person names it: `Qwen/Qwen3-0.6B` at a branch, tag or commit."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a manifest. `size` in bytes; `sha256` (hex) of the content; `blob_id` git's SHA-1 of the blob.

    Hubs give the blob id for files outside LFS. At least one of the two is known, else the file cannot be verified.
    """

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What a source says a model is, at one commit (40 hex digits)."""

    repo: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]
    source: str


class Stream(Protocol):
    """Bytes of one file from an offset on, as they come. `host` really sent them (after redirects)."""

    host: str
    total: int | None  # the whole file's size as the host tells it, in bytes
    ranged: bool  # whether it ends where it was asked to; else it goes on to the file's end
    headers: Mapping[str, str]

    def readinto(self, buffer: memoryview) -> int:
        """Fill at most the whole buffer and return how many bytes; 0 at the end. Raises SourceError."""

    def close(self) -> None: ...


class Source(Protocol):
    """A hub, or a folder that plays one. `name` is how reports and people call it: `hf:https://hf-mirror.com`."""

    @property
    def name(self) -> str: ...

    def manifest(self, ref: ModelRef) -> Manifest:
        """Return the files at the commit that `ref` names now. Raises SourceError."""

    def open(self, manifest: Manifest, file: RemoteFile, offset: int = 0, length: int | None = None) -> Stream:
        """Return the file's bytes from `offset`, `length` of them or all. Raises SourceError."""


@dataclass(frozen=True)
class Blame:
    """Where a source failed: the host that really answered, its status, and seconds to wait if it asked for them."""

    source: str
    host: str = ""
    status: int | None = None
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class SourceError(ArrivalError):
    """A source did not give what was asked; another may.

    `blame` says who it was, `retriable` whether the same one may be asked again.
    """

    reference = "source-failed"

    def __init__(
        self, message: str, *, blame: Blame, reference: str, retriable: bool = False, context: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, context=context, hint=hint, reference=reference)
        self.blame = blame
        self.retriable = retriable
