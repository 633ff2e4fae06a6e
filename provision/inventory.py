"""What of ours is on this machine: found by looking, never by a list that could be wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from provision.errors import EngineUnreachable, MachineError
from provision.files import Changes, locked, sweep
from provision.machines.engine import Engine, connect
from provision.mirrors.settings import drift, folder, undo_all
from provision.site import Home
from provision.spec import load
from provision.steps.environment import STAMP
from provision.store import Store


def look(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return engine, images, environments, changed settings and models of ours: rows with `name` and `detail`."""
    home = Home.of(environ)
    engine, words = _engine(environ, home)
    images = engine.images() if engine else []
    return {
        "engine": words,
        "images": [{"name": ", ".join(row["RepoTags"] or [row["Id"]]), "detail": _size(row["Size"])} for row in images],
        "environments": [{"name": path.name, "detail": _built(path)} for path in _environments(home)],
        "settings": [
            {"name": str(row.path), "detail": f"{row.tool}, {row.scope}: {row.state}"} for row in drift(folder(home.path))
        ],
        "models": [
            {"name": f"{row.repo}@{row.commit[:12]}", "detail": _size(row.size)} for row in _store(home, environ).models()
        ],
    }


def take_away(environ: Mapping[str, str], waiting: Callable[[], None], *, volumes: bool) -> list[str]:
    """Undo the settings we changed, remove containers, images and environments, with `volumes` the store; say which.
    `waiting` is called once where another process of ours is at work.

    Raises MachineError where something of ours cannot be removed, and StepFailed, with nothing removed, where settings
    were edited since.
    """
    home = Home.of(environ)
    engine, _ = _engine(environ, home)
    with locked(home.path / "up.lock", waiting):
        undone = undo_all(Changes(folder(home.path)))
        removed = [f"our change of {path}" for path in undone.restored]
        removed += engine.remove_ours() if engine else []
        removed += map(str, sweep())
        folders = [*_environments(home), *([_store(home, environ).root] if volumes else [])]
        for place in folders:
            if place.is_dir():
                _remove(place)
                removed.append(str(place))
    return removed


def cache_left(environ: Mapping[str, str]) -> tuple[int, list[str]]:
    """Return the bytes of the engine's build cache that are ours or may be, and the other homes that it serves."""
    engine, _ = _engine(environ, Home.of(environ))
    return (engine.cache_size(), engine.neighbours()) if engine else (0, [])


def _engine(environ: Mapping[str, str], home: Home) -> tuple[Engine | None, str]:
    try:
        engine = connect(environ, str(home.path))
    except EngineUnreachable as error:
        return None, f"none answers ({error.context})"
    _, version = engine.describe()
    return engine, f"{engine.kind} {version['Version']}"


def _environments(home: Home) -> list[Path]:
    folder = home.path / "envs"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _built(path: Path) -> str:
    return str(path) if (path / STAMP).exists() else f"{path} (half built: `provision up` builds it anew)"


def _store(home: Home, environ: Mapping[str, str]) -> Store:
    return Store(home.store(load(environ=environ)))


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise MachineError(f"cannot remove {folder}", context=str(error)) from error


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
