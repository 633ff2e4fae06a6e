"""GPUs without one: a request that reaches the container toolkit's hook, and an engine that has none."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.machines.building import Order
from provision.machines.engine import Engine
from tests.engine.own_engine import BASE, OwnEngine, needs_own_engine
from tests.fakes import nvidia_hook
from tests.program import environ, report, run

IMAGE = "provision-test/gpu:latest"
ENV = "ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_REQUIRE_CUDA=driver>=450"
QUESTION = ("check", "--gpu=required", "--scope=host", "--scope=engine", "--json")


@pytest.fixture(scope="module")
def hooked(
    engine: Engine, first: dict[str, Any], card: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnEngine]:
    """An engine with the hook on its PATH, and the image in it."""
    folder = tmp_path_factory.mktemp("hooked")
    files = {str(card / "nvidia-smi"): "/usr/bin/nvidia-smi"}
    toolkit = tmp_path_factory.mktemp("toolkit")
    nvidia_hook.install(toolkit, files, folder / "asked")
    found = OwnEngine(folder, {"PATH": f"{toolkit}:{environ(folder)['PATH']}"})
    there = found.bring(engine, BASE)
    there.build(Order({"Dockerfile": f"FROM {BASE}\n{ENV}\n".encode()}, IMAGE), print, print)
    yield found
    found.kill()


def place(home: Path, card: Path, **more: str) -> dict[str, str]:
    """The environment of a machine with that card."""
    found = environ(home, **more)
    return {**found, "PATH": f"{card}:{found['PATH']}"}


@pytest.mark.slow
@needs_own_engine
def test_a_request_for_gpus_reaches_the_hook_and_the_card_is_seen_inside(
    hooked: OwnEngine, card: Path, tmp_path: Path
) -> None:
    here = {name: hooked.environ[name] for name in ("DOCKER_HOST", "PATH")}
    done = run(*QUESTION, f"--image={IMAGE}", env=place(tmp_path, card, **here))
    found = {check["id"]: check for check in report(done)["checks"]}
    rows = ("host.gpu.visible", "host.driver.loaded", "engine.gpu_runtime", "engine.environment", "engine.gpu_uuids")
    assert {name: found[name]["summary"] for name in rows if found[name]["status"] != "pass"} == {}
    assert "the same 1 GPUs" in found["engine.gpu_uuids"]["summary"]
    [call] = [json.loads(line) for line in (hooked.folder / "asked").read_text().splitlines()]
    assert call["words"] == ["prestart"] and "NVIDIA_VISIBLE_DEVICES=all" in call["env"]
    assert {"NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_REQUIRE_CUDA=driver>=450"} <= set(call["env"])


def test_without_a_runtime_it_is_refused_before_anything_is_created(
    engine: Engine, first: dict[str, Any], card: Path, tmp_path: Path
) -> None:
    assert not shutil.which(nvidia_hook.NAME), "this machine has the container toolkit"
    began = int(time.time())
    done = run(*QUESTION, f"--image={BASE}", env=place(tmp_path, card))
    found = {check["id"]: check for check in report(done)["checks"]}
    assert (done.returncode, found["engine.gpu_runtime"]["code"]) == (1, "gpu-runtime-missing"), done.stdout[-3000:]
    assert "nvidia-container-toolkit" in found["engine.gpu_runtime"]["hint"]
    assert found["engine.gpu_uuids"]["status"] == "blocked"
    made = engine._client.events(since=began, until=int(time.time()) + 1, filters={"event": "create"}, decode=True)
    assert [event for event in made if event["Actor"]["Attributes"].get("image") == BASE] == []
