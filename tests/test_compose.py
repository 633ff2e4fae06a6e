"""What is handed over equals what `provision up` runs; compose.yaml is that, with variables in the place of folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.export import Handover, compose, devcontainer, kubernetes
from provision.machines.engine import ContainerSettings, Mount
from provision.store import Store
from provision.surroundings import MOUNT

DOORS = Store("/x").environment(mount=MOUNT)
HERE = Handover("provision/smoke:latest", "smoke", "/store", "/program", "/work/here", gpus=True, variables=DOORS)
IN_THE_CHECKOUT = Handover(
    image="${PROVISION_IMAGE:-provision/smoke:latest}",
    profile="${PROVISION_PROFILE:-smoke}",
    store="${PROVISION_STORE:-${HOME}/.local/share/provision/store}",
    suite=".",
    work=".",
    variables=DOORS,
    passed=(
        *("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"),
        *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX"),
    ),
)


def services(handover: Handover = HERE) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compose(handover))["services"]
    return found


def test_the_file_in_the_checkout_is_the_one_that_export_writes(root: Path) -> None:
    assert (root / "compose.yaml").read_text("utf-8") == compose(IN_THE_CHECKOUT)


@pytest.mark.parametrize("gpus", [False, True])
def test_checks_run_as_up_runs_them_with_the_suite_beside(gpus: bool) -> None:
    runs = ContainerSettings(HERE.image, (Mount("/store", MOUNT),), DOORS, gpus=gpus).arguments()
    found = services()["checks-gpu" if gpus else "checks"]
    for same in ("image", "init", "user", "read_only", "cap_drop", "security_opt", "shm_size", "network_mode"):
        assert found[same] == runs[same], same
    assert found["tmpfs"] == [f"{target}:{options}" for target, options in runs["tmpfs"].items()]
    assert runs["environment"].items() <= found["environment"].items()
    store, *suite = found["volumes"]
    assert (store["source"], store["target"], store["read_only"]) == ("/store", "/models", True)
    assert {each["target"] for each in suite} == {"/suite/provision", "/suite/checks", "/suite/images"}
    assert all(each["read_only"] for each in suite)
    assert ("deploy" in found) is gpus
    if gpus:
        [device] = found["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_only_the_hub_starts_by_itself_and_says_whether_it_lives() -> None:
    found = services()
    assert [name for name, each in found.items() if "profiles" not in each] == ["hub"]
    assert found["hub"]["healthcheck"]["test"][0] == "CMD" and found["hub"]["network_mode"] == "bridge"


def test_a_devcontainer_is_the_same_image_with_the_same_doors() -> None:
    found = json.loads(devcontainer(HERE))
    assert found["image"] == HERE.image and found["containerEnv"] == HERE.environment().arguments()["environment"]
    assert found["runArgs"][-1] == "--gpus=all" and "--cap-drop=ALL" in found["runArgs"]
    assert found["mounts"] == ["type=bind,source=/store,target=/models,readonly"]


def test_where_gpus_are_known_by_cdi_alone_they_are_asked_for_by_name() -> None:
    here = replace(HERE, cdi=("nvidia.com/gpu=all",))
    [device] = services(here)["checks-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "cdi", "device_ids": ["nvidia.com/gpu=all"], "capabilities": ["gpu"]}
    assert json.loads(devcontainer(here))["runArgs"][-1] == "--gpus=driver=cdi,device=nvidia.com/gpu=all"


def test_a_pod_is_as_closed_as_the_container() -> None:
    job, pod = yaml.safe_load_all(kubernetes(HERE))
    for spec in (job["spec"]["template"]["spec"], pod["spec"]):
        [container] = spec["containers"]
        closed = container["securityContext"]
        assert closed["readOnlyRootFilesystem"] and closed["capabilities"] == {"drop": ["ALL"]}
        assert closed["runAsUser"] == 65534 and closed["allowPrivilegeEscalation"] is False
        assert container["resources"] == {"limits": {"nvidia.com/gpu": 1}}
        assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in spec["volumes"]}
        assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in spec["volumes"]
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][:4] == ["python", "-m", "provision", "check"]
