"""Every verb is run where addresses carry a password; then every word it said and every file it left is searched for it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from provision.cli import main

SECRET = "s3cret-word"
SPEC = f"""
engine: local
mirrors:
  pip: https://me:{SECRET}@127.0.0.1:9/simple
  uv: https://me:{SECRET}@127.0.0.1:9/simple
  torch: https://me:{SECRET}@127.0.0.1:9/whl
  huggingface: https://me:{SECRET}@127.0.0.1:9
  npm: https://me:{SECRET}@127.0.0.1:9/npm
models:
  - {{repo: org/name, sources: ["hf=https://me:{SECRET}@127.0.0.1:9"]}}
"""
TOOLS = "--tool=pip,uv,npm,huggingface"
NEW = f"--set=conda=https://me:{SECRET}@127.0.0.1:9/anaconda"
VERBS = (
    ["config"],
    ["config", "--json"],
    ["plan", "-v"],
    ["plan", "--json"],
    ["up", "--dry-run", "--json"],
    [
        "check",
        "--scope=host",
        "-v",
        "--record=kept",
        "--report=json=r.json",
        "--report=html=r.html",
        "--report=junit=r.xml",
    ],
    ["check", "--replay=kept", "--json"],
    ["image", "resolve"],
    ["export", "compose"],
    ["export", "devcontainer"],
    ["export", "kubernetes"],
    ["mirrors", "list"],
    ["mirrors", "measure", f"--set=uv=https://me:{SECRET}@127.0.0.1:9/simple"],
    ["mirrors", "measure", f"--set=uv=https://me:{SECRET}@127.0.0.1:9/simple", "--json"],
    ["mirrors", "diff", TOOLS],
    ["mirrors", "diff", TOOLS, "--json"],
    ["mirrors", "apply", f"--set=pip=https://me:{SECRET}@ no", "--yes"],
    ["mirrors", "apply", f"--set=docker=https://me:{SECRET}@127.0.0.1:9", "--yes"],
    ["mirrors", "apply", TOOLS, "--yes", "--json"],
    ["mirrors", "apply", NEW, "--yes"],
    ["status"],
    ["status", "--json"],
    ["models", "pull", "org/name", f"--source=hf=https://me:{SECRET}@127.0.0.1:9"],
    ["run", "--", "true"],
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "provision.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "HOME": str(home),
        "PROVISION_HOME": str(tmp_path / "state"),
        "DOCKER_HOST": "unix:///nonexistent.sock",
        "HTTPS_PROXY": f"http://px:{SECRET}@127.0.0.1:8",
        "HF_TOKEN": SECRET,
        "PIP_EXTRA_INDEX_URL": f"https://me:{SECRET}@127.0.0.1:9/extra",
    }.items():
        monkeypatch.setenv(name, value)
    return home


def test_a_password_is_in_no_word_and_in_private_files_alone(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in VERBS:
        main(list(words))
        captured = capsys.readouterr()
        assert SECRET not in captured.out + captured.err, words
    hidden = (SECRET.encode(), base64.b64encode(f"me:{SECRET}".encode()))
    holding = {path for path in tmp_path.rglob("*") if path.is_file() and any(word in path.read_bytes() for word in hidden)}
    holding -= {tmp_path / "provision.yaml"}
    settings = {
        ".config/pip/pip.conf",
        ".config/uv/uv.toml",
        ".npmrc",
        ".condarc",
        ".config/provision/env.d/huggingface.sh",
    }
    assert {home / name for name in settings} <= holding
    assert all(path.stat().st_mode & 0o077 == 0 for path in holding), holding
    theirs = {path for path in holding if home not in path.parents}
    assert theirs and all((tmp_path / "state/changes") in path.parents for path in theirs), "what undo gives back"
    main(["mirrors", "undo", "--yes", "--json"])
    assert SECRET not in capsys.readouterr().out
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()][1:]
