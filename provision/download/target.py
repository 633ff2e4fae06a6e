"""Where a model goes: a store, or a plain folder. The engine asks what is here already, and hands over verified parts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from provision.download.options import MIB
from provision.download.record import ArrivedFile, Pulled
from provision.download.verify import seal_of_file
from provision.errors import ArrivalError
from provision.files import replace_file
from provision.sources.interface import ModelRef, RemoteFile

OWN = ".provision"


class Target(Protocol):
    """The place of one pull. `partial` is on the same file system as the final names."""

    @property
    def partial(self) -> Path: ...

    def known(self, ref: ModelRef) -> Pulled | None:
        """Return the model as an earlier pull of `ref` left it here, whole, or None."""

    def find(self, file: RemoteFile) -> str | None:
        """Return the sha256 of the file if its content is here and was verified, else None."""

    def put(self, file: RemoteFile, sha256: str, part: Path) -> None:
        """Move a verified, complete part to its final name, its bytes on the disk itself first. Raises OSError."""

    def finish(self, pulled: Pulled) -> Path:
        """Make the model whole under its name, all files being here; return where it is."""


class FolderTarget:
    """Files under their own names in one folder, as `hf download --local-dir` lays them; `.provision/` keeps accounts."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._own = self.folder / OWN
        self._seen = self._load()

    @property
    def partial(self) -> Path:
        return self._own / "partial"

    def known(self, ref: ModelRef) -> Pulled | None:
        """Return what an earlier pull of `ref` laid here, if every file still is as it was left."""
        try:
            record = json.loads((self._own / "model.json").read_text())
            files = tuple(ArrivedFile(**entry) for entry in record["files"])
            commit, source, left_out = record["commit"], record["source"], tuple(record["left_out"])
            mine = record["repo"] == ref.repo and ref.revision in (record["revision"], commit)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not mine or any(self.find(RemoteFile(file.path, file.size, file.sha256)) is None for file in files):
            return None
        return Pulled(ref.repo, ref.revision, commit, source, files, left_out, path=self.folder)

    def find(self, file: RemoteFile) -> str | None:
        """Return the file's sha256 if it lies here as it was left; one laid by another tool is hashed, and taken in."""
        path = self.folder / file.path
        try:
            stat = path.stat(follow_symlinks=False)
        except OSError:
            return None
        if stat.st_size != file.size or not path.is_file():
            return None
        entry = self._seen.get(file.path)
        if entry and (entry["size"], entry["mtime"]) == (stat.st_size, stat.st_mtime_ns):
            same = entry["sha256"] == file.sha256 if file.sha256 else entry["blob_id"] == file.blob_id
            return str(entry["sha256"]) if same else None
        seal = seal_of_file(path, file)
        if not seal.fits(file):
            return None
        self._enter(file, seal.sha256)
        return seal.sha256

    def put(self, file: RemoteFile, sha256: str, part: Path) -> None:
        """Move the part to the file's own name; a folder in between that leads out of here is refused."""
        _sync(part)
        os.replace(part, self._make_way(file.path))
        self._enter(file, sha256)

    def finish(self, pulled: Pulled) -> Path:
        """Write the accounts; put files that share their content with another beside it."""
        self._copy_twins(pulled.files)
        self._write_accounts()
        record = {
            "repo": pulled.repo,
            "revision": pulled.revision,
            "commit": pulled.commit,
            "source": pulled.source,
            "left_out": list(pulled.left_out),
            "files": [{"path": f.path, "size": f.size, "sha256": f.sha256, "blob_id": f.blob_id} for f in pulled.files],
        }
        _write(self._own / "model.json", json.dumps(record, indent=1, sort_keys=True) + "\n")
        with contextlib.suppress(OSError):
            self.partial.rmdir()
        return self.folder

    def _copy_twins(self, files: Sequence[ArrivedFile]) -> None:
        self.partial.mkdir(parents=True, exist_ok=True)
        for file in files:
            wanted = RemoteFile(file.path, file.size, file.sha256)
            if self.find(wanted) is None:
                scratch = self.partial / f"{file.sha256}.{os.getpid()}.copy"
                try:
                    self._copy_twin(wanted, file.sha256, scratch)
                    self.put(wanted, file.sha256, scratch)
                finally:
                    scratch.unlink(missing_ok=True)

    def _copy_twin(self, wanted: RemoteFile, sha256: str, scratch: Path) -> None:
        """Copy a file of that content. One whose bytes turn out to be others is struck from the accounts."""
        for name in [name for name, entry in self._seen.items() if entry["sha256"] == sha256]:
            if self.find(RemoteFile(name, wanted.size, sha256)) is None:
                continue
            if _copied(self.folder / name, scratch) == sha256:
                return
            del self._seen[name]
            self._write_accounts()
        raise ArrivalError(
            f"no file in {self.folder} has the content of {wanted.path} any more",
            context=f"another program changed it during the pull; its sha256 is {sha256}",
            reference="file-changed",
            hint="run the same command again: it will be brought",
        )

    def _make_way(self, name: str) -> Path:
        """Return a file's place, the folders to it made; nothing is made beyond one that leads out. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path, top = self.folder, self.folder.resolve()
        for part in PurePosixPath(name).parts[:-1]:
            path /= part
            if not path.resolve().is_relative_to(top):
                raise OSError(f"{path} leads out of {self.folder}")
            path.mkdir(exist_ok=True)
        return self.folder / name

    def _enter(self, file: RemoteFile, sha256: str) -> None:
        stat = (self.folder / file.path).stat()
        entry = {"size": stat.st_size, "mtime": stat.st_mtime_ns, "sha256": sha256, "blob_id": file.blob_id}
        self._own.mkdir(parents=True, exist_ok=True)
        with (self._own / "files.jsonl").open("a") as accounts:
            accounts.write(_line(file.path, entry))
        self._seen[file.path] = entry

    def _write_accounts(self) -> None:
        _write(self._own / "files.jsonl", "".join(_line(name, entry) for name, entry in sorted(self._seen.items())))

    def _load(self) -> dict[str, dict[str, Any]]:
        """Return the accounts: the last line of each file counts, a torn one does not."""
        seen = {}
        with (
            contextlib.suppress(OSError, ValueError, KeyError, AttributeError),
            (self._own / "files.jsonl").open() as lines,
        ):
            for line in lines:
                entry = json.loads(line)
                seen[entry.pop("path")] = entry
        return seen


def _copied(source: Path, to: Path) -> str:
    """Copy a file and return the SHA-256 of what was copied. Raises OSError."""
    digest = hashlib.sha256()
    with source.open("rb") as theirs, to.open("wb") as ours:
        while block := theirs.read(MIB):
            digest.update(block)
            ours.write(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(path: str, entry: dict[str, Any]) -> str:
    return json.dumps({"path": path, **entry}) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode())
