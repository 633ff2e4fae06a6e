"""What is known of a model in the store: plain data, one JSON file a commit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from provision.errors import ArrivalError, UsageError
from provision.sources.names import check_names
from provision.store.errors import StoreError

SCHEMA = "provision.model/v1"
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
REPO = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
LONGEST = 96  # letters of a name, as huggingface_hub's validate_repo_id has it; it becomes a folder's name
DEFAULT_REVISIONS = ("main", "master")  # Hugging Face's and ModelScope's name for the same thing


@dataclass(frozen=True)
class StoredFile:
    """One file. `shares`: bytes that each source sent of it; empty where it was not a pull that brought it."""

    path: str
    size: int
    sha256: str
    blob_id: str | None = None
    shares: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelRecord:
    """One commit of a model. `revisions` are names that led to it. Times in seconds since 1970; `verified` 0 is never.

    `published` orders the commits: the latest is the current one, and a name belongs to the latest that claims it.
    """

    repo: str
    commit: str
    revisions: tuple[str, ...]
    files: tuple[StoredFile, ...]
    source: str = ""
    left_out: tuple[str, ...] = ()
    published: float = 0.0
    verified: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def tree(self) -> str:
        """The name of the folder that holds exactly these files: a digest of paths and contents."""
        lines = "".join(f"{file.sha256} {file.path}\n" for file in sorted(self.files, key=lambda file: file.path))
        return hashlib.sha256(lines.encode()).hexdigest()[:32]

    def to_json(self) -> bytes:
        return (json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> ModelRecord:
        """Raises ValueError, KeyError, TypeError or AttributeError where it is no record, and UsageError or ArrivalError
        where a name in it must not become a path: whoever wrote it may not have been this program."""
        told: dict[str, Any] = json.loads(data)
        if told.pop("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        told["files"] = tuple(StoredFile(**file) for file in told["files"])
        told |= {name: tuple(told[name]) for name in ("revisions", "left_out")}
        if not all(SHA256.fullmatch(file.sha256) for file in told["files"]):
            raise ValueError("a file has no SHA-256")
        if not COMMIT.fullmatch(told["commit"]):
            raise ValueError("its commit is none")
        slug(told["repo"])
        for name in [*told["revisions"], *(file.path for file in told["files"])]:
            check_names([name])
        return cls(**told)


def read_record(path: Path) -> ModelRecord:
    """Return the record at `path`, which is where this record belongs. Raises StoreError `record-invalid`."""
    try:
        record = ModelRecord.from_json(path.read_bytes())
        if (slug(record.repo), f"{record.commit}.json") != (path.parent.name, path.name):
            raise ValueError(f"it is of {record.repo}@{record.commit}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError, ArrivalError) as error:
        raise StoreError(
            f"{path} is not a record of this program",
            context=repr(error),
            hint="move it away and pull the model again: what is here is not fetched twice",
            reference="record-invalid",
        ) from error
    return record


def slug(repo: str) -> str:
    """Return a repository's name as one folder name, as both hubs' caches have it. Raises UsageError `repo-invalid`."""
    if not REPO.fullmatch(repo) or "--" in repo or ".." in repo or len(repo) > LONGEST:
        raise UsageError(
            f"{repo!r} is not a repository's name", hint="for example: Qwen/Qwen3-0.6B", reference="repo-invalid"
        )
    return repo.replace("/", "--")


def checked(record: ModelRecord) -> ModelRecord:
    """Return the record fit to become paths: names are plain, and the commit is 40 hexadecimal digits.

    Where a hub gave no such commit, one is made of the contents, and what it gave is kept as a name.
    Raises UsageError `repo-invalid`, ArrivalError `name-hostile` or `name-collision`.
    """
    slug(record.repo)
    check_names(file.path for file in record.files)
    check_names(record.revisions)
    if COMMIT.fullmatch(record.commit):
        return record
    return replace(record, commit=f"{record.tree}{record.tree}"[:40], revisions=(*record.revisions, record.commit))


def merged(record: ModelRecord, earlier: Sequence[ModelRecord]) -> ModelRecord:
    """Return the record with what the store knew before: files of the same commit that this pull left aside, its names,
    and who sent the files that were here already."""
    senders = {file.sha256: file.shares for old in earlier for file in old.files if file.shares}
    own = [old for old in earlier if old.commit == record.commit]
    files = {file.path: file for old in own for file in old.files} | {file.path: file for file in record.files}
    named = tuple(dict.fromkeys([*record.revisions, *(name for old in own for name in old.revisions)]))
    left_out = tuple(path for path in record.left_out if path not in files)
    latest = max((old.published for old in earlier), default=0.0)
    verified = max((old.verified for old in own), default=0.0)
    return replace(
        record,
        revisions=named,
        files=tuple(replace(file, shares=file.shares or senders.get(file.sha256, {})) for _, file in sorted(files.items())),
        left_out=left_out,
        published=max(record.published, latest + 0.001),
        verified=max(record.verified, verified),
    )


def claims(records: Iterable[ModelRecord]) -> dict[str, ModelRecord]:
    """Return whom each name leads to, among the records of one model: the latest that claims it."""
    owners: dict[str, ModelRecord] = {}
    for record in sorted(records, key=lambda record: record.published):
        names = {*record.revisions} | ({*DEFAULT_REVISIONS} if {*record.revisions} & {*DEFAULT_REVISIONS} else set())
        owners |= dict.fromkeys(names, record)
    return owners


def newest(records: Iterable[ModelRecord]) -> list[ModelRecord]:
    """Return records, the latest first."""
    return sorted(records, key=lambda record: record.published, reverse=True)
