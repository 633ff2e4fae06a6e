"""A container engine: what it says of itself, its images, and containers that are always taken away again."""

from __future__ import annotations

import errno
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import BuildFailed, EngineUnreachable, MachineError
from provision.machines import build_cache, podman
from provision.machines.building import OnLine, Order, Refused, with_buildkit, with_classic, with_podman
from provision.machines.container import ContainerMachine
from provision.machines.endpoint import Endpoint, advice, endpoint
from provision.machines.secured import Secured
from provision.machines.tunnel import Tunnel

if TYPE_CHECKING:
    from docker import DockerClient

LABEL = "io.provision"  # every image and container of ours carries it, with what it is
OWNER = "io.provision.home"  # whose it is: `status` and `down` look for nothing else
CONNECT_TIMEOUT = 5  # seconds; an engine that is there answers at once
BUILD_TIMEOUT = 3600  # seconds of silence; a build step may say nothing for long
PLAIN_USER = "65534:65534"


@dataclass(frozen=True)
class Mount:
    """A folder of this machine seen inside; read-only unless said."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class ContainerSettings:
    """How checks and users run in an image: by default cut off, read-only, a plain user without capabilities.

    `passed` are variables that whoever starts it passes on by name: their values stand in no file and no command line.
    `cdi` are the names that the GPUs are asked for by where the engine knows no other way.
    """

    image: str
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    network: str = "none"
    gpus: bool = False
    cdi: tuple[str, ...] = ()
    user: str = PLAIN_USER
    shm_size: str = "1g"
    passed: tuple[str, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """Return them as the Docker SDK's `containers.create` takes them."""
        from docker.types import DeviceRequest

        return {
            "image": self.image,
            "environment": dict(self.environment),
            "volumes": {m.source: {"bind": m.target, "mode": "rw" if m.writable else "ro"} for m in self.mounts},
            "network_mode": self.network,
            "user": self.user,
            "read_only": True,
            "tmpfs": {"/tmp": "rw,exec,mode=1777"},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "shm_size": self.shm_size,
            "device_requests": [DeviceRequest(**self._gpus)] if self.gpus else [],
            "init": True,
        }

    @property
    def _gpus(self) -> dict[str, Any]:
        return {"driver": "cdi", "device_ids": list(self.cdi)} if self.cdi else {"count": -1, "capabilities": [["gpu"]]}


class Engine:
    """An engine that answered. Make one with `connect`. What it makes belongs to `owner`, the path of a home of ours.

    `environ` is what a docker client needs to find the same engine; `at` is where it was found, `tunnel` what leads there.
    """

    def __init__(
        self,
        client: DockerClient,
        owner: str,
        environ: Mapping[str, str],
        at: Endpoint | None = None,
        tunnel: Tunnel | Secured | None = None,
    ) -> None:
        self._client = client
        self._owner = owner
        self.environ = environ
        self.at = at or Endpoint("", "")
        self._tunnel = tunnel

    @property
    def kind(self) -> str:
        """`docker` or `podman`."""
        return "podman" if podman.is_podman(*self.describe()) else "docker"

    @property
    def elsewhere(self) -> str:
        """The name of the other machine whose engine this is, and which sees no folder of ours; empty where it is ours."""
        name = str(self._client.info().get("Name", "")) if self.at.remote else ""
        return "" if name == socket.gethostname() else name

    def _labels(self, kind: str) -> dict[str, str]:
        return {LABEL: kind, OWNER: self._owner}

    @property
    def _ours(self) -> dict[str, str | list[str] | bool]:
        return {"label": f"{OWNER}={self._owner}"}

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the engine's own `info` and `version` answers."""
        return self._client.info(), self._client.version()

    def image(self, reference: str) -> dict[str, Any] | None:
        """Return the image's inspection, or None where there is none of that name here."""
        from docker.errors import ImageNotFound

        try:
            return dict(self._client.images.get(reference).attrs)
        except ImageNotFound:
            return None

    def history(self, reference: str) -> list[dict[str, Any]]:
        """Return the image's build steps, the newest first; empty where it is not here."""
        from docker.errors import ImageNotFound

        try:
            return [dict(layer) for layer in self._client.api.history(reference)]  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return []

    def images(self) -> list[dict[str, Any]]:
        """Return the inspections of our own images."""
        return [dict(image.attrs) for image in self._client.images.list(filters=self._ours)]

    def containers(self) -> list[str]:
        """Return the names of our own containers, running or not."""
        return [str(found.name) for found in self._client.containers.list(all=True, filters=self._ours)]

    def import_base(self, archive: Path, tag: str, labels: Mapping[str, str]) -> None:
        """Make an image of a root file system's tar. Raises MachineError."""
        from docker.errors import DockerException

        labels = {**self._labels("base"), **labels}
        changes = [f"LABEL {key}={value}" for key, value in labels.items()]
        try:
            if self.kind == "podman":
                podman.bring_in(self._client.api, archive, tag, labels)
            else:
                self._client.api.import_image_from_file(str(archive), repository=tag, changes=changes)
        except (DockerException, OSError) as error:
            raise MachineError(f"the engine would not import {archive.name}", context=str(error)) from error
        self._sweep()

    def digests(self, reference: str) -> list[str]:
        """Return the digests (`sha256:…`) that the engine names of the image; empty where it names none or has it not."""
        known = (self.image(reference) or {}).get("RepoDigests") or []
        return [str(name).partition("@")[2] for name in known]

    def pull(self, reference: str, digest: str = "") -> None:
        """Fetch an image from its registry, with `digest` those very bytes under the same name.

        Raises MachineError with the registry's words.
        """
        from docker.errors import DockerException
        from docker.utils import parse_repository_tag

        repository, tag = parse_repository_tag(reference)
        try:
            told = list(self._client.api.pull(repository, tag=digest or tag or "latest", stream=True, decode=True))
            if words := next((str(event["error"]) for event in told if "error" in event), ""):
                raise DockerException(words)  # told in the middle of an answer that began well
            if digest:
                self._client.images.get(f"{repository}@{digest}").tag(repository, tag or "latest")
        except DockerException as error:
            raise MachineError(f"{reference} could not be pulled", context=str(error)) from error

    def build(self, order: Order, on_line: OnLine, on_fallback: Callable[[str], None]) -> str:
        """Build with BuildKit where a client here has it, by Podman itself where it is one, else with the classic builder;
        return the image's id.

        `on_fallback` hears why it was the latter. Raises BuildFailed with the failing instruction and its last lines.
        """
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        order = replace(order, labels={**self._labels("image"), **order.labels})
        try:
            self._build(order, on_line, on_fallback)
        except APIError as error:
            raise BuildFailed("the engine would not build this", context=str(error.explanation or error)) from error
        except (DockerException, RequestException, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise BuildFailed(
                    f"no room to pack what is built: {tempfile.gettempdir()} is full", context=str(error)
                ) from error
            raise BuildFailed(
                "the engine went away in the middle of the build",
                context=str(error),
                hint="start it again and run the same command: layers that were built are kept",
            ) from error
        image = self.image(order.tag)
        if image is None:
            raise BuildFailed(f"the engine built {order.tag} and does not have it")
        self._sweep()
        return str(image["Id"])

    def _build(self, order: Order, on_line: OnLine, on_fallback: Callable[[str], None]) -> None:
        try:
            if self.kind == "podman":
                release = str(self._client.version()["Version"])
                with_podman(self._client.api, release, order, self._labels("stage"), on_line)
            else:
                with_buildkit(order, self.environ, on_line)
        except Refused as reason:
            on_fallback(str(reason))
            with_classic(self._client.api, order, self._labels("stage"), on_line)

    @contextmanager
    def container(self, settings: ContainerSettings) -> Iterator[ContainerMachine]:
        """Start a container that waits, yield it as a machine, and remove it whatever happens.

        Raises MachineError with the engine's own words where it cannot be created or started.
        """
        from docker.errors import DockerException

        made = None
        try:
            try:
                made = self._client.containers.create(
                    **_strictly_mounted(settings.arguments()),
                    labels=self._labels("check"),
                    entrypoint=["sleep"],
                    command=["infinity"],
                    detach=True,
                )
                made.start()
            except DockerException as error:
                raise MachineError(f"{settings.image} could not be started", context=str(error)) from error
            yield ContainerMachine(made)
        finally:
            if made is not None:
                made.remove(force=True, v=True)

    def remove_ours(self) -> list[str]:
        """Remove every container and image of ours, and what BuildKit keeps of our builds; return their names."""
        removed = []
        for container in self._client.containers.list(all=True, filters=self._ours):
            container.remove(force=True, v=True)
            removed.append(f"container {container.name}")
        for image in self._client.images.list(filters=self._ours):
            self._client.images.remove(str(image.id), force=True)
            removed.append(f"image {', '.join(image.tags) or image.short_id}")
        if not self.neighbours() and (freed := build_cache.take_away(self._client.api)):
            removed.append(f"{freed / 1e6:.1f} MB of build cache")
        return removed

    def neighbours(self) -> list[str]:
        """Return the other homes of ours that have built here: what BuildKit keeps serves all of them."""
        built: dict[str, str | list[str] | bool] = {"label": [OWNER, f"{LABEL}=image"]}
        return sorted({image.labels[OWNER] for image in self._client.images.list(filters=built)} - {self._owner})

    def cache_size(self) -> int:
        """Return the bytes of BuildKit's records that are ours, or do not say whose they are."""
        return build_cache.size(self._client.api.df().get("BuildCache") or [])

    def _sweep(self) -> None:
        """Remove images of ours that a newer one has taken the tag of, but those that something stands on."""
        from docker.errors import APIError

        for kind in ("image", "base"):
            labels = [f"{OWNER}={self._owner}", f"{LABEL}={kind}"]
            for image in self._client.images.list(filters={"label": labels, "dangling": True}):
                with suppress(APIError):
                    self._client.api.remove_image(str(image.id), noprune=True)


def _strictly_mounted(given: dict[str, Any]) -> dict[str, Any]:
    """Mounts instead of volumes: a folder that the engine's machine has not is refused, where `-v` would make one."""
    from docker.types import Mount as Bind

    volumes = given.pop("volumes").items()
    binds = [Bind(to["bind"], source, type="bind", read_only=to["mode"] == "ro") for source, to in volumes]
    return {**given, "mounts": binds}


def connect(environ: Mapping[str, str], owner: str) -> Engine:
    """Return the engine that `endpoint` finds. Raises EngineUnreachable with its own words."""
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    at = endpoint(environ)
    tunnel: Tunnel | Secured | None = None
    if at.host.startswith("ssh://"):
        tunnel = Tunnel(at.host, environ)
    elif at.tls:
        tunnel = Secured(at, at.tls)
    address = tunnel.address if tunnel else at.host
    reached = environ if at.tls else {**environ, "DOCKER_HOST": address}
    try:
        client = docker.DockerClient(address, timeout=CONNECT_TIMEOUT, version="auto")
        client.ping()
        client.api.timeout = BUILD_TIMEOUT
    except (DockerException, RequestException, OSError) as error:
        if tunnel:
            tunnel.close()
        raise EngineUnreachable("no container engine answers", context=str(error), hint=advice(str(error))) from error
    return Engine(client, owner, reached, at, tunnel)
