"""A newer engine than this release's, its next one's: GPUs by CDI, and a build that leaves nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from provision.machines.building import Order
from provision.machines.engine import connect
from tests.engine.conftest import newer
from tests.engine.own_engine import BASE, OwnEngine, needs_own_engine
from tests.engine.test_gpu_path import QUESTION, place
from tests.program import environ, report, run

pytestmark = [pytest.mark.slow, needs_own_engine]


def check(current: OwnEngine, card: Path, home: Path) -> dict[str, Any]:
    """What each check of the base says, with a card in this machine."""
    done = run(*QUESTION, f"--image={BASE}", env=place(home, card, DOCKER_HOST=current.environ["DOCKER_HOST"]))
    return {found["id"]: found for found in report(done)["checks"]}


def test_cdi_without_a_spec_is_refused_before_anything_is_created(current: OwnEngine, card: Path, tmp_path: Path) -> None:
    began = int(time.time())
    found = check(current, card, tmp_path)
    assert found["engine.gpu_runtime"]["code"] == "gpu-runtime-missing", found["engine.gpu_runtime"]
    assert f"nvidia-ctk cdi generate --output={current.folder}/cdi/nvidia.yaml" in found["engine.gpu_runtime"]["hint"]
    assert found["engine.environment"]["status"] == "blocked"
    there = connect(current.environ, str(tmp_path))
    made = there._client.events(since=began, until=int(time.time()) + 1, filters={"event": "create"}, decode=True)
    assert [event for event in made if event["Actor"]["Attributes"].get("image") == BASE] == []


def test_a_card_that_a_cdi_spec_hands_in_is_seen_inside(current: OwnEngine, card: Path, tmp_path: Path) -> None:
    smi = {"hostPath": f"{card}/nvidia-smi", "containerPath": "/usr/bin/nvidia-smi", "options": ["ro", "bind"]}
    edits = {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/null"}], "mounts": [smi]}
    spec = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all", "containerEdits": edits}]}
    (current.folder / "cdi" / "nvidia.json").write_text(json.dumps(spec))
    found = check(current, card, tmp_path)
    assert (found["engine.gpu_runtime"]["summary"], found["engine.environment"]["status"]) == ("CDI", "pass")
    assert "the same 1 GPUs" in found["engine.gpu_uuids"]["summary"], found["engine.gpu_uuids"]
    mine = tmp_path / "provision.yaml"
    mine.write_text(f"engine: docker\nimage:\n  name: {BASE}\n")
    here = place(tmp_path, card, DOCKER_HOST=current.environ["DOCKER_HOST"])
    asked = run("run", "-f", str(mine), "--", "sh", "-c", "nvidia-smi -L && ls /dev/nvidia0", env=here, cwd=tmp_path)
    assert "UUID: GPU-" in asked.stdout and "/dev/nvidia0" in asked.stdout, asked.stderr


def test_what_its_buildkit_built_is_taken_away_to_the_last_record(tmp_path: Path) -> None:
    own = newer(tmp_path, {})
    there = own.start()
    try:
        fallbacks: list[str] = []
        dockerfile = b"FROM scratch\nCOPY file /usr/local/lib/provision/file\nCOPY file /stands-on-it\nWORKDIR /tmp\n"
        context = {"Dockerfile": dockerfile, "file": bytes(3_000_000)}
        there.build(Order(context, "provision-test/current"), print, fallbacks.append)
        down = run("down", env=environ(tmp_path, DOCKER_HOST=own.environ["DOCKER_HOST"]))
        assert fallbacks == [] and "removed image provision-test/current:latest" in down.stdout, down.stderr
        left = there._client.api.df()
        told = [row["Description"] for row in left["BuildCache"] or []]
        assert (left["Images"] or [], left["Containers"] or []) == ([], []) and not [
            row for row in told if "COPY" in row
        ], told
    finally:
        own.kill()
