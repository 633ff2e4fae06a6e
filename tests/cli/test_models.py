"""`provision models` as people use it: between two stores over a real hub, locked, damaged, collected."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision import embedded
from provision.hub import FolderCatalogue, Hub
from tests.fakes.faulty_hub import FaultyHub, Repo
from tests.program import environ, run

REPO = embedded.REPO


@pytest.fixture
def hub() -> Iterator[str]:
    with Hub(FolderCatalogue({REPO: embedded.path()})) as serving:
        yield serving.endpoint


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environ(tmp_path / "home")


def test_pull_list_verify_and_again(hub: str, env: dict[str, str]) -> None:
    words = ("models", "pull", REPO, "--source", f"hf={hub}", "--json")
    first, second = (json.loads(run(*words, env=env).stdout) for _ in range(2))
    assert first["fetched"] == first["bytes"] > 0 and second["fetched"] == 0
    assert first["revision"] == embedded.commit() and {file["path"] for file in first["files"]} >= {"model.safetensors"}
    assert f"{REPO} @ {embedded.commit()[:12]}" in run("models", "list", env=env).stdout
    verified = run("models", "verify", env=env)
    assert verified.returncode == 0 and "all right" in verified.stdout


def test_the_other_protocol_and_a_folder_of_ones_own(hub: str, env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "here"
    done = run("models", "pull", REPO, "--source", f"modelscope={hub}", "--local-dir", str(folder), env=env)
    assert done.returncode == 0, done.stderr
    for file in embedded.path().iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()


def test_a_dead_source_is_passed_over_and_named(hub: str, env: dict[str, str]) -> None:
    done = run("models", "pull", REPO, "--source", "hf=http://127.0.0.1:9", "--source", f"hf={hub}", env=env)
    assert done.returncode == 0 and "127.0.0.1:9" in done.stderr
    alone = run("models", "pull", "org/other", "--source", f"hf={hub}", env=env)
    assert alone.returncode == 5 and "org/other" in alone.stderr and "Traceback" not in alone.stderr


def test_a_lock_gives_a_second_machine_the_same_bytes_or_an_error(hub: str, env: dict[str, str], tmp_path: Path) -> None:
    lock = tmp_path / "provision.lock"
    words = ("models", "pull", REPO, "--source", f"hf={hub}", "--lock", str(lock))
    assert run(*words, env=env).returncode == 0
    pinned = lock.read_text()
    assert run(*words, env=environ(tmp_path / "second")).returncode == 0 and lock.read_text() == pinned
    weights = next(line for line in pinned.splitlines() if "sha256" in line).split('"')[3]
    lock.write_text(pinned.replace(weights, "0" * 64))
    refused = run(*words, env=environ(tmp_path / "third"))
    assert refused.returncode == 5 and "Traceback" not in refused.stderr, refused.stderr


def test_damage_is_named_and_repaired(hub: str, env: dict[str, str]) -> None:
    run("models", "pull", REPO, "--source", f"hf={hub}", env=env)
    blobs = Path(env["PROVISION_HOME"]) / "store" / ".provision" / "blobs"
    blob = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[1000] ^= 255
    blob.chmod(0o644)
    blob.write_bytes(data)
    found = run("models", "verify", env=env)
    assert found.returncode == 1 and "model.safetensors" in found.stdout and "--repair" in found.stdout
    mended = run("models", "verify", "--repair", env=env)
    assert mended.returncode == 0 and "right again" in mended.stdout, mended.stderr
    assert run("models", "verify", env=env).returncode == 0


@pytest.mark.parametrize("gone", [False, True], ids=["its-own-hub", "the-other-commit-s"])
def test_an_older_commit_is_repaired_from_where_it_came_or_from_where_the_newer_did(
    env: dict[str, str], gone: bool
) -> None:
    old = Repo({"model.safetensors": os.urandom(100_000)}, revision="v1")
    new = Repo({"model.safetensors": os.urandom(100_000)}, commit="b" * 40)
    with FaultyHub({"org/model": old}) as first, FaultyHub({"org/model": new}) as second:
        assert run("models", "pull", "org/model@v1", "--source", f"hf={first.url}", env=env).returncode == 0
        assert run("models", "pull", "org/model", "--source", f"hf={second.url}", env=env).returncode == 0
        content = old.files["model.safetensors"]
        blob = Path(env["PROVISION_HOME"]) / "store" / ".provision" / "blobs" / hashlib.sha256(content).hexdigest()
        blob.chmod(0o644)
        blob.write_bytes(content[::-1])
        if gone:
            first.repos, second.repos = {}, {"org/model": old}
        mended = run("models", "verify", "--repair", env=env)
    assert mended.returncode == 0 and blob.read_bytes() == content, mended.stderr


def test_a_store_is_served_to_the_next_machine_until_interrupted(hub: str, env: dict[str, str], tmp_path: Path) -> None:
    run("models", "pull", REPO, "--source", f"hf={hub}", env=env)
    argv = [sys.executable, "-m", "provision", "models", "serve", "--port", "0"]
    serving = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stdout
        endpoint = serving.stdout.readline().strip().removeprefix("HF_ENDPOINT=")
        done = run("models", "pull", REPO, "--source", f"hf={endpoint}", env=environ(tmp_path / "second"))
        assert done.returncode == 0, done.stderr
    finally:
        serving.send_signal(signal.SIGINT)
        _, words = serving.communicate(timeout=30)
    assert serving.returncode == 130 and "Traceback" not in words


def test_gc_says_what_would_go(hub: str, env: dict[str, str]) -> None:
    run("models", "pull", REPO, "--source", f"hf={hub}", env=env)
    part = Path(env["PROVISION_HOME"]) / "store" / ".provision" / "partial" / "abandoned"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"x" * 100)
    os.utime(part, (1, 1))
    told = run("models", "gc", "--dry-run", env=env).stdout
    assert "would remove 1 things" in told and part.exists()
    assert "removed 1 things" in run("models", "gc", env=env).stdout and not part.exists()
