"""A newer engine than this release's, its next one's: GPUs by CDI."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.machines.engine import connect
from tests.conftest import REAL_ENVIRON
from tests.engine.own_engine import BASE, OwnEngine, needs_own_engine
from tests.engine.test_gpu_path import QUESTION, place
from tests.program import report, run

NEXT = Path(__file__).parent.parent.parent / ".make" / "next" / "usr"
GET = "python3 tools/next_release.py docker.io containerd .make/next"
pytestmark = [pytest.mark.slow, needs_own_engine]


@pytest.fixture(scope="module")
def current(engine: Any, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    """The next release's dockerd and containerd with this one's runc, looking for CDI specs in a folder of the test's."""
    if not (NEXT / "sbin" / "dockerd").exists():
        if REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
            pytest.fail(f"it must run here: {GET}")
        pytest.skip(f"no newer engine is here: {GET}")
    folder = tmp_path_factory.mktemp("current")
    (folder / "cdi").mkdir()
    path = f"{NEXT}/sbin:{NEXT}/bin:{REAL_ENVIRON['PATH']}"
    found = OwnEngine(folder, {"PATH": path}, {"features": {"cdi": True}, "cdi-spec-dirs": [str(folder / "cdi")]})
    found.bring(engine, BASE)
    yield found
    found.kill()


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
