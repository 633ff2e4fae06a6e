"""A container engine, from its own `version` and `info` answers (Engine API; the calls are made by machines/), and the CDI
specs that it reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import yaml

from provision.machines.interface import Machine
from provision.machines.podman import is_podman

GPU_KIND = "nvidia.com/gpu"
LISTS_DEVICES = (1, 50)  # the first API that tells them (Engine API version history); CDI itself is older
SPEC_LIMIT = 4 * 1024 * 1024  # bytes; nvidia-ctk's are tens of thousands


class EngineState(str, Enum):
    """Whether an engine answers, or why not."""

    REACHABLE = "reachable"
    NO_SOCKET = "no_socket"
    PERMISSION = "permission"
    NOT_RUNNING = "not_running"  # the socket is there and nobody listens
    ERROR = "error"


@dataclass(frozen=True)
class EngineFacts:
    """An engine. `kind` is docker, podman or none; `detail` its words where it cannot be used; `root_dir` is on its host.

    `cdi_devices` are names such as `nvidia.com/gpu=0`, `cdi_spec_dirs` where it looks for their specs, if it does;
    `nvidia_hook`: the container toolkit's hook is on this machine's PATH, where an engine looks for it without telling.
    """

    kind: str
    state: EngineState
    detail: str = ""
    version: str = ""
    api_version: str = ""
    rootless: bool = False
    remote: bool = False
    runtimes: tuple[str, ...] = ()
    default_runtime: str = ""
    nvidia_runtime: bool = False
    nvidia_hook: bool = False
    cdi_devices: tuple[str, ...] = ()
    cdi_spec_dirs: tuple[str, ...] = ()
    storage_driver: str = ""
    root_dir: str = ""
    cgroup_driver: str = ""
    cgroup_version: str = ""
    machine: str = ""
    operating_system: str = ""

    @property
    def gpu_capable(self) -> bool:
        """Whether it can be asked for GPUs at all: an nvidia runtime or its hook, or NVIDIA devices by CDI."""
        return self.nvidia_runtime or self.nvidia_hook or bool(self.cdi_gpus)

    @property
    def cdi_gpus(self) -> tuple[str, ...]:
        """The names by which all GPUs are asked for where CDI is the only way; else none."""
        listed = tuple(device for device in self.cdi_devices if device.startswith(f"{GPU_KIND}="))
        if self.nvidia_runtime or self.nvidia_hook:
            return ()
        return (f"{GPU_KIND}=all",) if f"{GPU_KIND}=all" in listed else listed

    @property
    def hides_devices(self) -> bool:
        """Whether it takes CDI requests and is too old to tell which devices it knows: Docker 25 to 28.1."""
        numbers = re.findall(r"\d+", self.api_version)
        return bool(self.cdi_spec_dirs) and tuple(map(int, numbers)) < LISTS_DEVICES


def parse(
    info: Mapping[str, Any], version: Mapping[str, Any], *, remote: bool = False, nvidia_hook: bool = False
) -> EngineFacts:
    """Return the facts of an engine that answered; `remote`: over a network; `nvidia_hook`: see `EngineFacts`."""
    runtimes = tuple(sorted(info.get("Runtimes") or {}))
    kind = "podman" if is_podman(info, version) else "docker"
    return EngineFacts(
        kind=kind,
        state=EngineState.REACHABLE,
        version=str(version.get("Version", "") or info.get("ServerVersion", "")),
        api_version=str(version.get("ApiVersion", "")),
        rootless=bool(info.get("Rootless")) or any("rootless" in str(each) for each in info.get("SecurityOptions") or ()),
        remote=remote,
        runtimes=runtimes,
        default_runtime=str(info.get("DefaultRuntime", "")),
        nvidia_runtime=any("nvidia" in runtime for runtime in runtimes),
        nvidia_hook=nvidia_hook and not remote and kind == "docker",
        cdi_devices=tuple(_cdi_devices(info)),
        cdi_spec_dirs=tuple(info.get("CDISpecDirs") or ()),
        storage_driver=str(info.get("Driver", "")),
        root_dir=str(info.get("DockerRootDir", "")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        cgroup_version=str(info.get("CgroupVersion", "")),
        machine=str(info.get("Architecture", "")),
        operating_system=str(info.get("OperatingSystem", "")),
    )


def unreachable(text: str) -> EngineFacts:
    """Return the facts of an engine that did not answer, from the words of the failure."""
    return EngineFacts(kind="none", state=classify_error(text), detail=text.strip())


_ERRORS = (
    (re.compile(r"permission denied|EACCES|PermissionError", re.IGNORECASE), EngineState.PERMISSION),
    (re.compile(r"connection refused|ECONNREFUSED|ConnectionRefused", re.IGNORECASE), EngineState.NOT_RUNNING),
    (re.compile(r"no such file|FileNotFound|ENOENT", re.IGNORECASE), EngineState.NO_SOCKET),
    (re.compile(r"is the docker daemon running|cannot connect", re.IGNORECASE), EngineState.NOT_RUNNING),
)


def classify_error(text: str) -> EngineState:
    """Return why no engine answered, from the words of the client library or the command line."""
    return next((state for pattern, state in _ERRORS if pattern.search(text)), EngineState.ERROR)


def _cdi_devices(info: Mapping[str, Any]) -> list[str]:
    """Docker 28.2 and newer: DiscoveredDevices [{Source: cdi, ID: nvidia.com/gpu=0}]."""
    devices = info.get("DiscoveredDevices") or ()
    return [str(device.get("ID", "")) for device in devices if device.get("Source") == "cdi"]


def read_cdi(machine: Machine, folders: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the devices in the folders' specs, as an engine reads them there (CDI, SPEC.md)."""
    found: list[str] = []
    for folder in folders:
        listing = machine.run(["ls", "-1", "--", folder], timeout=10)
        names = listing.text.splitlines() if listing.ok else []
        for name in names:
            if name.endswith((".json", ".yaml")):
                found += parse_cdi(machine.read(f"{folder}/{name}", SPEC_LIMIT) or b"")
    return tuple(dict.fromkeys(found))


def parse_cdi(spec: bytes) -> list[str]:
    """Return the names of a spec's devices, JSON or YAML; none of what an engine would not read either."""
    try:
        told = yaml.safe_load(spec)
        return [f"{told['kind']}={device['name']}" for device in told["devices"]]
    except (yaml.YAMLError, KeyError, TypeError):
        return []
