"""The whole, walking, without an engine: download over HTTP, store, offline load, tokenize, generate, split."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import pytest

from checks.suite import CHECKS
from provision import embedded
from provision.formats.json import schema
from tests.program import environ, report, run, status_of

SMOKE = ("--profile", "smoke", "--engine", "local")
ANSWERED_HERE = {  # what must come to a pass on any machine, with neither engine nor GPU
    *("host.disk", "host.memory", "host.clock", "host.limits", "engine.environment", "engine.variables"),
    *("mirrors.config", "mirrors.reachable", "torch.import", "torch.kernel.runs", "torch.dtypes", "torch.sdpa"),
    *("model.files", "model.structure", "model.memory", "model.config", "model.loads"),
    *("tokenizer.roundtrip", "tokenizer.chat_template", "tokenizer.history", "performance.decode"),
    *("generation.basic", "generation.thinking_split", "generation.thinking_off", "generation.deterministic"),
}


def test_the_second_run_changes_nothing_and_the_model_really_thinks(env: dict[str, str], tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    done = run("up", *SMOKE, "--gpu", "none", "--json", "--report", f"junit={junit}", env=env)
    found = report(done)
    jsonschema.validate(found, schema())
    assert (done.returncode, found["ready"], found["verdict"]) == (0, True, "ready")
    assert [(step["name"], step["changed"]) for step in found["steps"]] == [
        ("lock", False),
        ("environment", False),
        ("models", False),
    ]
    generation = found["generation"]
    assert generation["state"] == "closed" and "模型" in generation["reasoning"] and "provision" in generation["content"]
    assert "<think>" not in generation["reasoning"] + generation["content"]
    assert "</think>" not in generation["reasoning"] + generation["content"]
    statuses = status_of(found)
    assert {statuses[name] for name in ANSWERED_HERE} == {"pass"}
    assert set(statuses.values()) <= {"pass", "skip"} and len(statuses) == len(CHECKS)
    assert found["models"][0]["revision"] == embedded.commit()
    assert found["environment"]["torch"].endswith("+cpu")
    root = ElementTree.parse(junit).getroot()
    assert len(list(root.iter("testcase"))) == len(CHECKS) and not list(root.iter("failure"))


def test_no_cuda_packages_are_brought_to_a_machine_without_a_gpu(ready_home: Path) -> None:
    site = next((ready_home / "envs" / "smoke" / "lib").glob("python3*")) / "site-packages"
    assert (site / "torch").is_dir() and not (site / "nvidia").exists() and not list(site.glob("triton*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="cutting the network off takes root here")
def test_with_no_network_at_all_a_ready_place_stays_ready(env: dict[str, str]) -> None:
    cut = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    found = report(run("up", *SMOKE, "--json", env=env, prefix=cut))
    assert found["exit_code"] == 0 and status_of(found)["generation.thinking_split"] == "pass"
    dead = report(run("up", *SMOKE, "--json", env=env, prefix=["unshare", "--net"]))
    assert (dead["exit_code"], status_of(dead)["mirrors.reachable"]) == (0, "warn")


def test_plan_of_a_ready_place_says_so(env: dict[str, str]) -> None:
    done = run("plan", *SMOKE, "--exit-code", env=env)
    assert done.returncode == 0 and "Nothing to change." in done.stdout


def test_a_damaged_file_is_the_root_cause_and_what_stands_on_it_is_blocked(ready_home: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(ready_home / "store", store, symlinks=True)
    blob = max((store / ".provision" / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    flipped = bytearray(blob.read_bytes())
    flipped[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(flipped)
    env = environ(ready_home, PROVISION_STORE=str(store))
    found = report(run("check", *SMOKE, "--json", env=env))
    assert found["root_cause"] == ["model.files"] and found["exit_code"] == 1
    statuses = status_of(found)
    assert statuses["model.files"] == "fail" and statuses["generation.basic"] == "blocked"
    assert "model.safetensors" in next(check["evidence"] for check in found["checks"] if check["id"] == "model.files")


def test_the_environment_can_be_adopted_and_is_not_touched(ready_home: Path, tmp_path: Path) -> None:
    python = ready_home / "envs" / "smoke" / "bin" / "python"
    found = report(run("up", *SMOKE, "--python", str(python), "--json", env=environ(tmp_path / "home")))
    assert found["exit_code"] == 0 and found["environment"]["python_path"] == str(python)
    assert {step["name"]: step["changed"] for step in found["steps"]} == {"environment": False, "models": True}


def test_an_adopted_environment_that_lacks_something_is_changed_only_with_a_word(ready_home: Path, tmp_path: Path) -> None:
    whole = next((ready_home / "envs/smoke/lib").glob("python*/site-packages"))
    subprocess.run([ready_home / "envs/smoke/bin/python", "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    own = next((tmp_path / "own/lib").glob("python*/site-packages"))
    for entry in whole.iterdir():
        if not entry.name.startswith("accelerate"):
            (own / entry.name).symlink_to(entry)
    refused = run("up", *SMOKE, "--python", str(tmp_path / "own/bin/python"), env=environ(tmp_path / "home"))
    assert refused.returncode == 2 and "add accelerate" in refused.stderr and "--yes" in refused.stderr
    assert not list(own.glob("accelerate*"))


def test_run_and_export_give_what_the_checks_had(env: dict[str, str]) -> None:
    source = (
        "from transformers import AutoTokenizer; import torch;"
        "print(len(AutoTokenizer.from_pretrained('provision/tiny-think')), torch.__version__)"
    )
    done = run("run", *SMOKE, "--", "python", "-c", source, env=env)
    assert done.returncode == 0 and done.stdout.split()[0] == "512"
    assert run("run", *SMOKE, "--", "python", "-c", "raise SystemExit(7)", env=env).returncode == 7
    exported = run("export", "env", *SMOKE, env=env).stdout
    assert "HF_HUB_CACHE=" in exported and "HF_HUB_OFFLINE=1" in exported


def test_ctrl_c_in_the_middle_exits_130_and_the_next_run_goes_on(tmp_path: Path) -> None:
    env = environ(tmp_path / "home")
    argv = [sys.executable, "-m", "provision", "up", *SMOKE]
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr and "lock" in process.stderr.readline()
    folder = tmp_path / "home" / "envs" / "smoke"
    for _ in range(200):
        if folder.exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in words and "Traceback" not in words
    assert not (folder / "provision-environment.json").exists()
    planned = run("plan", *SMOKE, "--exit-code", env=env)
    assert planned.returncode == 10 and "+ environment" in planned.stdout


def test_a_second_terminal_waits_for_the_first(ready_home: Path, env: dict[str, str]) -> None:
    import fcntl

    with (ready_home / "up.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        argv = [sys.executable, "-m", "provision", "up", *SMOKE]
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr and "waiting for it" in process.stderr.readline()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "nothing to change" in out


def test_a_profile_that_was_never_brought_up_says_what_to_run(tmp_path: Path) -> None:
    env = environ(tmp_path / "home")
    found = report(run("check", *SMOKE, "--json", env=env))
    assert found["exit_code"] == 1 and set(found["root_cause"]) == {"engine.environment", "model.files"}
    done = run("run", *SMOKE, "--", "true", env=env)
    assert done.returncode == 5 and "provision up" in done.stderr


def test_a_recorded_run_replays_with_the_same_findings_and_is_its_own_baseline(env: dict[str, str], tmp_path: Path) -> None:
    kept, former = tmp_path / "bundle.json", tmp_path / "report.json"
    done = run("check", *SMOKE, "--json", "--record", str(kept), "--report", f"json={former}", env=env)
    found = report(done)
    again = report(run("check", "--replay", str(kept), "--json", env=environ(tmp_path)))
    assert (again["exit_code"], again["verdict"]) == (done.returncode, found["verdict"])
    assert [(c["id"], c["status"], c["code"]) for c in again["checks"]] == [
        (c["id"], c["status"], c["code"]) for c in found["checks"]
    ]
    assert again["generation"] == found["generation"]
    words = ("--baseline", str(former), "--only", "performance.decode", "--json")
    compared = report(run("check", *SMOKE, *words, env=env))
    decode = next(check for check in compared["checks"] if check["id"] == "performance.decode")
    assert decode["code"] in ("ok", "slower-than-baseline") and "of the baseline's" in decode["summary"]


def test_ctrl_c_ends_the_probes_at_once(env: dict[str, str], tmp_path: Path) -> None:
    marker = f"marker-{os.getpid()}-{tmp_path.name}"
    argv = [sys.executable, "-m", "provision", "check", *SMOKE]
    process = subprocess.Popen(argv, env={**env, "PROBE_MARKER": marker}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(400):
        if any("checks.probes" in line or "-c" in line for line in _commands_with(marker, but=process.pid)):
            break
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130 and b"Traceback" not in words
    assert _commands_with(marker, but=process.pid) == []


def _commands_with(marker: str, *, but: int) -> list[str]:
    """The command lines of every process, besides one, that has the marker in its environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != but and marker.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return found
