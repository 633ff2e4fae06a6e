"""`check --image` on real images: as they are, nothing installed, cut off, read-only, a plain user."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.image import look
from provision.machines.engine import Engine
from tests.engine.conftest import HOME
from tests.program import environ, report, run, status_of

BASE = "provision-base:bookworm"
TOKEN = "hf_" + "Zz9Yy8Xx" * 5  # nobody's
TORCH = """
class _C:
    @staticmethod
    def _cuda_getArchFlags():
        return 'sm_80 sm_90 sm_120 compute_120'
class version:
    cuda, hip = '12.8', None
__version__ = '2.9.0+cu128'
"""
TRAPS = f"""
FROM {BASE}
ARG HF_TOKEN
RUN echo downloading with $HF_TOKEN
RUN mkdir -p /usr/local/cuda/compat /usr/lib/python3/dist-packages/torch /home/app/.cache/huggingface && \\
    touch /usr/local/cuda/compat/libcuda.so.570.86.10 && echo x >/home/app/.cache/huggingface/token
COPY torch.py /usr/lib/python3/dist-packages/torch/__init__.py
ENV NVIDIA_REQUIRE_CUDA="cuda>=12.8 brand=tesla,driver>=535,driver<536" CUDA_VERSION=12.8.1 LD_PRELOAD=/no/such.so \\
    LD_LIBRARY_PATH=/usr/local/cuda/compat NVIDIA_DRIVER_CAPABILITIES=utility DB_PASSWORD=hunter2hunter2
"""
CLOSED = f"FROM {BASE}\nRUN chmod 700 /usr/bin/python3*\n"


def built(engine: Engine, tag: str, dockerfile: str, arguments: dict[str, str] | None = None) -> str:
    """Build with the classic builder, whose history keeps arguments: that is the trap."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in (("Dockerfile", dockerfile), ("torch.py", TORCH)):
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    packed.seek(0)
    engine._client.images.build(
        fileobj=packed, custom_context=True, tag=tag, buildargs=arguments or {}, rm=True, forcerm=True
    )
    return tag


@pytest.fixture(scope="module")
def traps(engine: Engine, first: dict[str, Any]) -> Iterator[str]:
    yield built(engine, "provision-test/traps:latest", TRAPS, {"HF_TOKEN": TOKEN})
    engine._client.images.remove("provision-test/traps:latest", force=True)


def check(image: str, *words: str) -> dict[str, Any]:
    return report(run("check", "--image", image, "--json", *words, env=environ(HOME)))


def test_every_trap_of_an_image_is_named_without_a_gpu_and_no_secret_is_told(traps: str) -> None:
    found = check(traps, "--scope", "image")
    checks = {row["id"]: row for row in found["checks"]}
    codes = {name.removeprefix("image."): f"{row['status']} {row['code']}" for name, row in checks.items()}
    assert codes == {
        "python": "pass ok",
        "predicts": "pass ok",
        "compat": "warn compat-active",
        "tools": "skip no-toolkit",
        "secrets": "fail secrets-inside",
        "user": "warn runs-as-root",
        "size": "pass ok",
        "environment": "warn environment-hostile",
        "healthcheck": "skip no-healthcheck",
    }
    predicts = checks["image.predicts"]
    assert predicts["summary"] == "will run on: driver ≥ 570.26, capability 8.0, 9.0, 12.0 and newer than 12.0 by PTX"
    assert "525.60.13" in predicts["evidence"] and "535 (tesla)" in predicts["evidence"]
    secrets = checks["image.secrets"]["evidence"]
    assert "environment DB_PASSWORD" in secrets and "a Hugging Face token" in secrets
    assert "file /home/app/.cache/huggingface/token" in secrets
    assert TOKEN not in json.dumps(found) and "hunter2" not in json.dumps(found)
    hostile = checks["image.environment"]["evidence"]
    assert "LD_PRELOAD" in hostile and "lacks compute" in hostile
    assert found["exit_code"] == 1 and found["root_cause"] == ["image.secrets"]


def test_a_plain_base_is_looked_at_as_it_is(engine: Engine, traps: str) -> None:
    found = check(BASE, "--scope", "image")
    assert found["exit_code"] == 0 and status_of(found)["image.python"] == "pass"
    assert found["environment"]["network"] == "cut off"


def test_an_image_nobody_can_look_into_still_says_what_its_settings_say(engine: Engine, traps: str) -> None:
    tag = built(engine, "provision-test/closed:latest", CLOSED)
    try:
        statuses = status_of(check(tag, "--scope", "image"))
    finally:
        engine._client.images.remove(tag, force=True)
    assert (statuses["image.python"], statuses["image.compat"]) == ("fail", "blocked")
    assert (statuses["image.secrets"], statuses["image.user"]) == ("pass", "warn")


def test_our_own_image_has_nothing_to_be_said_against(engine: Engine) -> None:
    image = "provision-test/smoke:latest"
    if engine.image(image) is None:
        pytest.skip(f"{image} is not here: the other engine tests build it")
    found = check(image, "--scope", "image")
    assert set(status_of(found).values()) == {"pass"}


def test_without_a_container_the_settings_alone_are_the_fact(engine: Engine, traps: str) -> None:
    value = look(engine, traps, None).facts["image"]
    assert value["inside"] is None and value["config"]["cuda"] == "12.8.1"
    assert look(engine, "no/such:image", None).facts == {}


CHECKS = """
checks:
  - {name: system, file: /etc/os-release, contents: {regex: "^ID=debian$"}}
  - {name: nobody, command: [id, -u], stdout: 65534}
  - {name: read-only, command: [touch, /x], exit_code: {not: 0}}
  - {name: cut-off, command: "ls /sys/class/net", stdout: lo}
  - {name: user, image: user, value: ""}
  - {name: cuda, image: environment.CUDA_VERSION, value: {">=": "12.4"}}
  - {name: service, port: 8000}
  - {name: hidden, file: /etc/shadow, contents: {not: {contains: "x"}}}
"""
GOSS = "file: {/etc/passwd: {exists: true, owner: root}}\nservice: {cron: {running: true}}\n"
STRUCTURE = """
schemaVersion: 2.0.0
commandTests: [{name: python, command: python3, args: [--version], expectedOutput: ["Python 3"]}]
metadataTest:
  envVars: [{key: CUDA_VERSION, value: 12.8.1}]
  unboundEnvVars: [{key: NOT_SET}]
  user: ""
"""


def test_users_checks_and_other_tools_files_run_inside_the_image(traps: str, tmp_path: Path) -> None:
    for name, text in (("mine", CHECKS), ("goss", GOSS), ("structure", STRUCTURE)):
        (tmp_path / f"{name}.yaml").write_text(text)
    found = check(
        traps,
        *("--scope", "custom", "--checks", f"{tmp_path}/mine.yaml", "--import", f"goss={tmp_path}/goss.yaml"),
        *("--import", f"container-structure-test={tmp_path}/structure.yaml"),
    )
    statuses = {name.removeprefix("custom."): status for name, status in status_of(found).items()}
    assert statuses.pop("hidden") == "unknown" and statuses.pop("service") == "skip"
    assert statuses.pop("service-cron") == "unknown"
    assert set(statuses.values()) == {"pass"} and len(statuses) == 11, found["checks"]
    assert found["verdict"] == "undetermined" and found["exit_code"] == 3
