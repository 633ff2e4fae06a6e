"""Which engine is meant: `DOCKER_HOST`, a docker context, or the first socket of this machine that this user may use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provision.errors import EngineUnreachable

DEFAULT = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Endpoint:
    """An engine's address, who said so, and for a context over TLS its folder of certificates."""

    host: str
    origin: str
    certificates: Path | None = None
    verify: bool = True

    @property
    def remote(self) -> bool:
        """Whether it is reached over a network."""
        return self.host.startswith(("ssh://", "tcp://", "http://", "https://"))


def endpoint(environ: Mapping[str, str]) -> Endpoint:
    """Return the engine that the docker client would talk to; without a word of anybody, Podman's socket too.

    `DOCKER_HOST` goes before `DOCKER_CONTEXT`, and that before the client's own choice (docker CLI, `resolveContextName`).
    Raises EngineUnreachable where a context is named that does not exist.
    """
    if environ.get("DOCKER_HOST"):
        return Endpoint(environ["DOCKER_HOST"], "DOCKER_HOST")
    settings = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker")
    name = environ.get("DOCKER_CONTEXT") or str(_read(settings / "config.json").get("currentContext") or "")
    if name and name != "default":
        return _of_context(settings / "contexts", name)
    usable = (address for address in _sockets(environ) if os.access(address.removeprefix("unix://"), os.W_OK))
    return Endpoint(next(usable, DEFAULT), "")


def _sockets(environ: Mapping[str, str]) -> list[str]:
    """Docker's, its rootless one's, Podman's of this user and of root, in this order."""
    own = environ.get("XDG_RUNTIME_DIR")
    mine = [f"unix://{own}/docker.sock", f"unix://{own}/podman/podman.sock"] if own else []
    return [DEFAULT, *mine, "unix:///run/podman/podman.sock"]


def _of_context(contexts: Path, name: str) -> Endpoint:
    digest = hashlib.sha256(name.encode()).hexdigest()
    told = _read(contexts / "meta" / digest / "meta.json").get("Endpoints", {}).get("docker")
    if not told or not told.get("Host"):
        raise EngineUnreachable(
            f"there is no docker context {name!r} with an engine's address",
            context=f"looked in {contexts}",
            hint="docker context ls; then `docker context use …`, or unset DOCKER_CONTEXT",
        )
    certificates = contexts / "tls" / digest / "docker"
    found = certificates if certificates.is_dir() else None
    return Endpoint(str(told["Host"]), f"context {name}", found, not told.get("SkipTLSVerify"))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
