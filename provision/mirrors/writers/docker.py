"""The Docker daemon: `registry-mirrors` in daemon.json (docs.docker.com/reference/cli/dockerd), for docker.io alone.

It is among the options that a reload takes (SIGHUP), so no container has to end; even that is left to a person.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from provision.errors import StepFailed, UsageError
from provision.machines.interface import Machine, Outcome
from provision.mirrors.asking import ask
from provision.mirrors.interface import Place, Plan, Scope, Verified, checked, has_credentials, read_text, unreadable
from provision.mirrors.texts import json_object
from provision.mirrors.veil import veil

TOOL = "docker"
SCOPES: tuple[Scope, ...] = ("system", "user")
OVERRIDES: tuple[str, ...] = ()
KEY = "registry-mirrors"
NO_FLAG = "unknown flag: --validate"  # before Docker 23.0


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`: what the engine that answers here says of itself."""
    said = ask(machine, ["docker", "info", "--format", "{{json .RegistryConfig.Mirrors}}"])
    found = json.loads(said) if said and said.strip() else None
    return str(found[0]) if found else ""


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`. Mirrors that are there already stay, behind ours."""
    wanted = [_checked(url) for url in urls]
    path = place.file("docker/daemon.json", "etc/docker/daemon.json")
    text = read_text(path)
    try:
        former = json_object.parse(text).get(KEY, []) if text and text.strip() else []
        if not isinstance(former, list):
            raise ValueError(f"{KEY} is not a list")
        kept = [url for url in former if str(url).rstrip("/") not in wanted]
        ours = [next((url for url in former if str(url).rstrip("/") == one), one) for one in wanted]
        changed = text if former == [*ours, *kept] and text else json_object.set_key(text or "", KEY, [*ours, *kept])
    except ValueError as error:
        raise unreadable(path, "JSON", str(error)) from error
    return Plan((place.edit(TOOL, path, text, changed, wanted),), (_reload(place), "it stands for docker.io names only"))


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: `dockerd --validate`, where that dockerd can; the running one is not touched."""
    path = str(place.file("docker/daemon.json", "etc/docker/daemon.json"))
    done = machine.run(["dockerd", "--validate", f"--config-file={path}"])
    if done.ok:
        return Verified(TOOL, "dockerd --validate", (done.error_text or done.text).strip())
    if done.outcome is Outcome.NOT_FOUND or NO_FLAG in done.error_text + done.text:
        why = "there is no dockerd here" if done.outcome is Outcome.NOT_FOUND else "this dockerd cannot validate"
        return Verified(TOOL, "", f"{why}; what was written was read again as JSON")
    raise StepFailed("dockerd refuses the new daemon.json", context=veil((done.error_text or done.text).strip()))


def _checked(url: str) -> str:
    """Docker takes scheme and host alone (registry.ValidateMirror in moby)."""
    if "://" not in url:
        hint = f"use it in front of a name: FROM {url}/library/debian; podman, buildkit and containerd can be set to it"
        raise UsageError(f"{url} is a prefix for names, which daemon.json has no room for", hint=hint)
    url = checked(TOOL, url)
    if urlsplit(url).path or urlsplit(url).query or has_credentials(url):
        raise UsageError(f"docker takes a mirror as scheme and host alone, not {urlsplit(url).path or 'credentials'}")
    return url


def _reload(place: Place) -> str:
    if place.scope == "user":
        return "only a rootless daemon reads it, at its next reload: systemctl --user reload docker; else: --scope system"
    return "the running daemon takes it at its next reload, which ends no container: sudo systemctl reload docker"
