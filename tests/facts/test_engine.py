from __future__ import annotations

import pytest

from provision.facts import engine
from provision.facts.engine import EngineState

DOCKER_20 = {
    "Driver": "overlay2",
    "DockerRootDir": "/var/lib/docker",
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}},
    "DefaultRuntime": "runc",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
    "Architecture": "x86_64",
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
}


def test_docker_with_the_nvidia_runtime() -> None:
    facts = engine.parse(DOCKER_20, {"Version": "20.10.24", "ApiVersion": "1.41"})
    assert (facts.kind, facts.state, facts.version, facts.api_version) == (
        "docker",
        EngineState.REACHABLE,
        "20.10.24",
        "1.41",
    )
    assert (facts.runtimes, facts.default_runtime, facts.nvidia_runtime) == (("nvidia", "runc"), "runc", True)
    assert (facts.storage_driver, facts.root_dir, facts.cgroup_driver) == ("overlay2", "/var/lib/docker", "systemd")
    assert facts.gpu_capable and not facts.rootless and not facts.remote


def test_devices_by_cdi_make_it_capable_too() -> None:
    info = {
        "Runtimes": {"runc": {}},
        "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
        "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}, {"Source": "other", "ID": "x"}],
    }
    facts = engine.parse(info, {"Version": "28.3.0"})
    assert (facts.cdi_devices, facts.cdi_spec_dirs) == (("nvidia.com/gpu=all",), ("/etc/cdi", "/var/run/cdi"))
    assert facts.gpu_capable and not facts.nvidia_runtime


def test_rootless_and_remote_are_seen() -> None:
    facts = engine.parse({"SecurityOptions": ["name=rootless"]}, {}, remote=True)
    assert facts.rootless and facts.remote and not facts.gpu_capable


def test_a_rootless_podman_says_it_in_a_word_of_its_own() -> None:
    info = {"SecurityOptions": ["name=seccomp,profile=default"], "Rootless": True}
    assert engine.parse(info, {}).rootless and not engine.parse({**info, "Rootless": False}, {}).rootless


def test_podman_says_so_in_its_components() -> None:
    assert engine.parse({}, {"Components": [{"Name": "Podman Engine", "Version": "5.2"}]}).kind == "podman"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))", EngineState.NO_SOCKET),
        ("('Connection aborted.', PermissionError(13, 'Permission denied'))", EngineState.PERMISSION),
        ("permission denied while trying to connect to the Docker daemon socket", EngineState.PERMISSION),
        ("('Connection aborted.', ConnectionRefusedError(111, 'Connection refused'))", EngineState.NOT_RUNNING),
        ("Cannot connect to the Docker daemon. Is the docker daemon running?", EngineState.NOT_RUNNING),
        ("500 Server Error", EngineState.ERROR),
    ],
)
def test_why_no_engine_answers(words: str, state: EngineState) -> None:
    facts = engine.unreachable(words)
    assert (facts.kind, facts.state, facts.detail) == ("none", state, words)
