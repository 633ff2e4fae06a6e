"""One model, asked for by name: from sources to the store or a folder, pinned by a lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from provision import lock as lockfile
from provision.download import FolderTarget, Target, pull
from provision.events import Listener
from provision.sources.interface import ModelRef, Source
from provision.spec import MirrorsSpec, ModelSpec, default_sources
from provision.steps.models import builtin_hub, locked, open_sources
from provision.store import Damage, ModelRecord, Store


@dataclass(frozen=True)
class Wish:
    """What is asked for: `ORG/NAME[@REVISION]`, its sources, globs of files, and a lock that pins it."""

    model: str
    sources: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    lock: Path | None = None
    allow_pickle: bool = False
    allow_code: bool = False

    def spec(self, environ: Mapping[str, str]) -> ModelSpec:
        """Return it as a spec's model; without sources, from where the hubs' own clients would ask."""
        repo, _, revision = self.model.partition("@")
        sources = self.sources or default_sources(MirrorsSpec(), environ)
        return ModelSpec(repo, revision or "main", sources, self.include, self.exclude)


def fetch(wish: Wish, place: Store | Path, environ: Mapping[str, str], listener: Listener) -> dict[str, Any]:
    """Bring the model to `place` and return what came, as plain data. Raises ArrivalError and UsageError.

    A lock that pins the model gives exactly those bytes or an error; one that does not is made to.
    """
    model = wish.spec(environ)
    ref = ModelRef(model.repo, model.revision)
    target: Target = place.target() if isinstance(place, Store) else FolderTarget(place)
    pinned = lockfile.models(lockfile.load(wish.lock)) if wish.lock else {}
    with builtin_hub((model,)) as endpoint:
        pulled = pull(
            ref,
            open_sources(model, endpoint, environ),
            target,
            include=wish.include,
            exclude=wish.exclude,
            lock=pinned.get(str(ref)),
            allow_pickle=wish.allow_pickle,
            allow_code=wish.allow_code,
            listener=listener,
        )
    if wish.lock and str(ref) not in pinned:
        lockfile.pin(wish.lock, locked(pulled))
    return {
        "repo": pulled.repo,
        "revision": pulled.commit,
        "path": str(pulled.path),
        "bytes": pulled.size,
        "fetched": pulled.fetched,
        "seconds": pulled.seconds,
        "left_out": list(pulled.left_out),
        "files": [
            {"path": file.path, "size": file.size, "sha256": file.sha256, "shares": dict(file.shares)}
            for file in pulled.files
        ],
    }


def mend(
    store: Store, damages: Sequence[Damage], sources: Sequence[str], environ: Mapping[str, str], listener: Listener
) -> None:
    """Bring what is damaged again, from `sources` (KIND=URL), else from where that commit came, then from where the
    model's others did. Raises ArrivalError."""
    with builtin_hub([ModelSpec(damage.repo, sources=tuple(sources)) for damage in damages]) as endpoint:

        def asked(record: ModelRecord) -> list[Source]:
            origins = dict.fromkeys(one.source for one in [record, *store.versions(record.repo)] if one.source)
            known = tuple(origin.replace(":", "=", 1) for origin in origins)
            return open_sources(ModelSpec(record.repo, sources=tuple(sources) or known), endpoint, environ)

        store.restore(damages, asked, listener)


def listing(store: Store) -> list[dict[str, Any]]:
    """Return a row for each model of the store; times in ISO 8601, UTC, or `never`."""
    return [
        {
            "repo": record.repo,
            "revision": record.commit,
            "bytes": record.size,
            "files": len(record.files),
            "source": record.source,
            "fetched": _moment(record.published),
            "verified": _moment(record.verified),
        }
        for record in store.models()
    ]


def _moment(seconds: float) -> str:
    if not seconds:
        return "never"
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
