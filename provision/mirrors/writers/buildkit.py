"""BuildKit: `[registry."docker.io"] mirrors` in buildkitd.toml (github.com/moby/buildkit, docs/buildkitd.toml.md).

A standalone buildkitd and buildx's own builders read it; daemon.json they do not.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from provision.errors import StepFailed
from provision.machines.interface import Machine
from provision.mirrors import registries
from provision.mirrors.asking import DEADLINE
from provision.mirrors.interface import Place, Plan, Scope, Verified, not_in_force, read_text
from provision.mirrors.texts import toml

TOOL = "buildkit"
SCOPES: tuple[Scope, ...] = ("user", "system")
OVERRIDES: tuple[str, ...] = ()
READ = (
    'kept=$(mktemp -d) && BUILDX_CONFIG=$kept docker buildx create --driver docker-container --config "$1"; '
    'code=$?; rm -rf "$kept"; exit "$code"'
)
STARTING = "failed to initialize builder"  # buildx, once it has read the file and finds no engine


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`."""
    found = _mirrors(_file(place))
    return found[0] if found else ""


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`. Mirrors that are there already stay, behind ours."""
    mirrors = [registries.parse(TOOL, url) for url in urls]
    path = _file(place)
    text = read_text(path)
    document = toml.parse(path, text)
    docker = _table(document, "docker.io")
    former = [str(name) for name in docker.get("mirrors", [])]
    wanted = [mirror.name for mirror in mirrors]
    wanted += [name for name in former if name not in wanted]
    if former != wanted:
        docker["mirrors"] = wanted
    for mirror in mirrors:
        if mirror.is_plain and _table(document, mirror.host).get("http") is not True:
            _table(document, mirror.host)["http"] = True
    notes = ("a builder reads it when it starts: docker buildx create --buildkitd-config FILE, or restart buildkitd",)
    return Plan((place.edit(TOOL, path, text, tomlkit.dumps(document), urls),), notes)


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: buildkitd cannot read its settings without starting; buildx reads them as it does, where it is.

    The builder that buildx then notes down lands in a folder that is thrown away; none is started.
    """
    path = _file(place)
    wanted = [registries.parse(TOOL, url).name for url in urls]
    said = _mirrors(path)
    if said[: len(wanted)] != wanted:
        raise not_in_force(TOOL, " ".join(wanted), " ".join(said))
    if not machine.run(["docker", "buildx", "version"], timeout=DEADLINE).ok:
        return Verified(TOOL, "", "there is no buildx here to ask; read again as TOML: " + " ".join(said))
    done = machine.run(["sh", "-c", READ, "sh", str(path)], timeout=DEADLINE)
    if not done.ok and STARTING not in done.error_text:
        raise not_in_force(TOOL, " ".join(wanted), done.error_text)
    return Verified(TOOL, "docker buildx create", " ".join(said))


def _file(place: Place) -> Path:
    return place.file("buildkit/buildkitd.toml", "etc/buildkit/buildkitd.toml")


def _mirrors(path: Path) -> list[str]:
    return [str(name) for name in _table(toml.parse(path, read_text(path)), "docker.io").get("mirrors", [])]


def _table(document: tomlkit.TOMLDocument, host: str) -> Any:
    if "registry" not in document:
        document["registry"] = tomlkit.table(is_super_table=True)
    registry = document["registry"]
    if not isinstance(registry, MutableMapping):
        raise StepFailed("`registry` in buildkitd.toml is not a table", hint="mend it first")
    if host not in registry:
        registry[host] = tomlkit.table()
    return registry[host]
