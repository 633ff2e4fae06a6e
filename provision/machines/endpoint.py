"""Which engine is meant: `DOCKER_HOST`, a docker context, or the first socket of this machine that this user may use."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provision.errors import EngineUnreachable

DEFAULT = "unix:///var/run/docker.sock"
LOCAL = "or go without an engine: --engine local"
WORDS = (  # what is heard where no engine answers → what to do
    (
        r"Permission ?denied|PermissionError",
        f"this user may not use the engine's socket: `sudo usermod -aG docker $USER`, then log in again; {LOCAL}",
    ),
    (
        r"FileNotFoundError|No such file",
        f"there is no engine's socket here: install Docker and `systemctl start docker`, or set DOCKER_HOST; {LOCAL}",
    ),
    (
        r"Connection ?refused",
        f"the socket is there and nobody listens: `systemctl start docker`; {LOCAL}",
    ),
    (
        r"mismatch, certificate is not valid",
        "reach the engine by a name that its certificate has: openssl s_client -connect HOST:2376 </dev/null",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "the engine's certificate is not by the ca.pem that is kept for it: put the right one into DOCKER_CERT_PATH, "
        "or docker context update NAME --docker host=…,ca=…,cert=…,key=…",
    ),
    (
        r"alert (bad certificate|certificate required|unknown ca)|ended the connection after the handshake",
        "the engine lets in only whom its authority signed: cert.pem and key.pem in DOCKER_CERT_PATH, "
        "or docker context update NAME --docker host=…,ca=…,cert=…,key=…",
    ),
    (
        r"HTTP request to an HTTPS server",
        "the engine speaks TLS: export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=…, or give the context ca, cert and key",
    ),
    (
        r"WRONG_VERSION_NUMBER|record layer failure",
        "the engine speaks no TLS: unset DOCKER_TLS DOCKER_TLS_VERIFY, or docker context update NAME --docker host=…",
    ),
)


@dataclass(frozen=True)
class Tls:
    """How TLS is spoken to an engine: `folder` may hold ca.pem, cert.pem and key.pem; `verify`: it must prove itself."""

    folder: Path
    verify: bool = True


@dataclass(frozen=True)
class Endpoint:
    """An engine's address, who said so, and its TLS, None where it speaks none."""

    host: str
    origin: str
    tls: Tls | None = None

    @property
    def remote(self) -> bool:
        """Whether it is reached over a network."""
        return self.host.startswith(("ssh://", "tcp://", "http://", "https://"))


def endpoint(environ: Mapping[str, str]) -> Endpoint:
    """Return the engine that the docker client would talk to; without a word of anybody, Podman's socket too.

    `DOCKER_HOST` goes before `DOCKER_CONTEXT`, and that before the client's own choice (docker CLI, `resolveContextName`).
    Raises EngineUnreachable where a context is named that does not exist.
    """
    settings = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker")
    if host := environ.get("DOCKER_HOST"):
        verify = bool(environ.get("DOCKER_TLS_VERIFY"))
        asked = (verify or environ.get("DOCKER_TLS")) and host.startswith("tcp://")
        folder = Path(environ.get("DOCKER_CERT_PATH") or settings)
        return Endpoint(host, "DOCKER_HOST", Tls(folder, verify) if asked else None)
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
    tls = Tls(contexts / "tls" / digest / "docker", not told.get("SkipTLSVerify"))
    return Endpoint(str(told["Host"]), f"context {name}", tls if tls.folder.is_dir() or not tls.verify else None)


def advice(words: str) -> str:
    """Return what to do where no engine answered, by the words of the failure."""
    found = (hint for pattern, hint in WORDS if re.search(pattern, words, re.IGNORECASE))
    return next(found, f"see what `docker info` says; {LOCAL}")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
