from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from provision.facts import engine
from provision.facts.engine import EngineState
from provision.machines.local import LocalMachine

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
    assert facts.gpu_capable and not facts.nvidia_runtime and facts.cdi_gpus == ("nvidia.com/gpu=all",)


@pytest.mark.parametrize(
    ("api", "folders", "hides"),
    [("1.45", ["/etc/cdi"], True), ("1.45", [], False), ("1.50", ["/etc/cdi"], False), ("", None, False)],
)
def test_docker_25_to_28_1_takes_cdi_and_lists_no_device(api: str, folders: list[str] | None, hides: bool) -> None:
    assert engine.parse({"CDISpecDirs": folders}, {"ApiVersion": api}).hides_devices is hides


def test_gpus_are_asked_for_by_every_name_where_there_is_none_for_all() -> None:
    listed = ("nvidia.com/gpu=0", "nvidia.com/gpu=1", "vendor.example/net=0")
    facts = replace(engine.parse({}, {}), cdi_devices=listed)
    assert facts.cdi_gpus == listed[:2] and facts.gpu_capable
    assert replace(facts, cdi_devices=listed[2:]).gpu_capable is False
    assert replace(facts, nvidia_hook=True).cdi_gpus == ()


def test_cdi_specs_are_read_as_an_engine_reads_them(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: '0'\n- name: all\n")
    (tmp_path / "other.json").write_text('{"kind": "vendor.example/net", "devices": [{"name": "a"}]}')
    (tmp_path / "half.json").write_text('{"kind": "nvidia.com/gpu", "devices": [{"na')
    (tmp_path / "list.yaml").write_text("- nvidia.com/gpu\n")
    (tmp_path / "nvidia.yml").write_text("kind: nvidia.com/gpu\ndevices: [{name: not-read}]\n")
    found = engine.read_cdi(LocalMachine(os.environ), [str(tmp_path / "absent"), str(tmp_path)])
    assert found == ("nvidia.com/gpu=0", "nvidia.com/gpu=all", "vendor.example/net=a")


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
