"""Podman, Buildah and Skopeo: a drop-in of our own in registries.conf.d (containers-registries.conf.d(5))."""

from __future__ import annotations

import json
from collections.abc import Sequence

from provision.errors import StepFailed
from provision.machines.interface import Machine
from provision.mirrors import registries
from provision.mirrors.asking import ask
from provision.mirrors.interface import MARK, Place, Plan, Scope, Verified, not_in_force, read_text

TOOL = "podman"
SCOPES: tuple[Scope, ...] = ("user", "system")
OVERRIDES = ("CONTAINERS_REGISTRIES_CONF", "CONTAINERS_REGISTRIES_CONF_DIR")

INFO = ("podman", "info", "--format", "{{json .Registries}}")


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`."""
    found = _mirrors(ask(machine, INFO))
    return found[0] if found else ""


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`."""
    path = place.file(
        "containers/registries.conf.d/50-provision.conf", "etc/containers/registries.conf.d/50-provision.conf"
    )
    lines = [f"# {MARK}", "[[registry]]", 'prefix = "docker.io"', 'location = "docker.io"']
    for url in urls:
        mirror = registries.parse(TOOL, url)
        lines += ["", "[[registry.mirror]]", f'location = "{mirror.name}"']
        lines += ["insecure = true"] if mirror.is_plain else []
    main = place.file("containers/registries.conf", "etc/containers/registries.conf")
    notes = [f"{main} has its own entry for docker.io: this one stands over it"] if _has_own(read_text(main)) else []
    edit = place.edit(TOOL, path, read_text(path), "\n".join(lines) + "\n", urls)
    return Plan((edit,), tuple(notes))


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: `podman info` names the mirrors."""
    if not place.is_this_machine:
        return Verified(TOOL, "", "podman reads this machine's folders only")
    try:
        said = ask(machine, INFO, without=OVERRIDES)
    except StepFailed as error:
        if "registries" in error.context:
            raise
        *_, last = error.context.split("\n")
        return Verified(TOOL, "", f"podman does not run here: {last}")
    if said is None:
        return Verified(TOOL, "", "there is no podman here to ask")
    found = _mirrors(said)
    wanted = [registries.parse(TOOL, url).name for url in urls]
    if found != wanted:
        raise not_in_force(TOOL, " ".join(wanted), said, "an own registries.conf or another drop-in stands over it")
    return Verified(TOOL, "podman info", "docker.io by way of " + ", ".join(found))


def _mirrors(said: str | None) -> list[str]:
    """The mirrors of docker.io in podman's own words."""
    found = (json.loads(said or "null") or {}).get("docker.io") or {}
    return [str(row["Location"]) for row in found.get("Mirrors") or []]


def _has_own(text: str | None) -> bool:
    return any(line.strip() in ('prefix = "docker.io"', 'location = "docker.io"') for line in (text or "").splitlines())
