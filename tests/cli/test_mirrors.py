"""`provision mirrors`, `export env`, `status` and `down`, as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.cli import main
from tests.fakes.mirror_server import MirrorServer
from tests.files.test_changes import picture

UV = "--set=uv=https://me:s3cret@m.example.org/simple"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An awkward home: a dotfiles link, CRLF, no last newline, foreign keys, an odd mode."""
    home = tmp_path / "a home"
    (home / "dotfiles").mkdir(parents=True)
    (home / ".config/uv").mkdir(parents=True)
    (home / "dotfiles/uv.toml").write_bytes(b"# mine\r\nnative-tls = true")
    (home / ".config/uv/uv.toml").symlink_to("../../dotfiles/uv.toml")
    (home / ".bashrc").write_text("case $- in *i*) ;; *) return;; esac")
    (home / ".condarc").write_text("channels:\n  - team # ours\n")
    (home / ".condarc").chmod(0o640)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    monkeypatch.chdir(tmp_path)
    return home


def test_diff_shows_no_secret_changes_nothing_and_says_so_by_its_exit_code(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = picture(home)
    assert main(["mirrors", "diff", UV]) == 0
    assert main(["mirrors", "diff", UV, "--exit-code"]) == 10
    assert main(["mirrors", "diff", UV, "--json"]) == 0
    captured = capsys.readouterr()
    assert '+url = "https://***@m.example.org/simple"' in captured.out and "s3cret" not in captured.out + captured.err
    assert picture(home) == before


def test_apply_twice_status_undo(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = picture(home)
    wanted = [UV, "--set=conda=https://m.example.org/anaconda", "--set=huggingface=https://hf-mirror.com"]
    assert main(["mirrors", "apply", *wanted, "--yes"]) == 0
    assert "uv pip compile --emit-index-url says --index-url https://***@" in capsys.readouterr().out
    assert (home / ".config/uv/uv.toml").is_symlink()
    assert main(["mirrors", "apply", *wanted, "--yes"]) == 0
    assert main(["mirrors", "diff", *wanted, "--exit-code"]) == 0
    assert capsys.readouterr().out.count("Nothing to change.") == 2
    (home / ".condarc").write_text((home / ".condarc").read_text() + "# somebody's\n")
    assert main(["status", "--json"]) == 0
    settings = {Path(row["name"]).name: row["detail"] for row in json.loads(capsys.readouterr().out)["settings"]}
    assert settings[".condarc"] == "conda, user: edited" and settings["uv.toml"] == "uv, user: as applied"
    assert main(["mirrors", "undo", "--yes"]) == 5
    assert "--edited merge" in capsys.readouterr().err
    assert main(["mirrors", "undo", "--yes", "--tool", "conda", "--edited", "merge"]) == 0
    assert (home / ".condarc").read_text() == "channels:\n  - team # ours\n# somebody's\n"
    (home / ".condarc").write_text("channels:\n  - team # ours\n")
    assert main(["mirrors", "undo", "--yes"]) == 0
    assert picture(home) == before
    assert main(["mirrors", "undo", "--yes"]) == 0
    assert "Nothing of ours to undo." in capsys.readouterr().out


def test_nothing_is_written_without_a_yes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = picture(home)
    assert main(["mirrors", "apply", UV]) == 2
    assert "--yes" in capsys.readouterr().err and picture(home) == before


def test_down_undoes_first_and_refuses_over_an_edit(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = picture(home)
    assert main(["mirrors", "apply", UV, "--yes"]) == 0
    (home / "dotfiles/uv.toml").write_bytes(b"other")
    assert main(["down"]) == 5
    assert main(["mirrors", "undo", "--yes", "--edited", "restore"]) == 0
    assert "laid aside" in capsys.readouterr().out
    assert main(["mirrors", "apply", UV, "--yes"]) == 0 and main(["down"]) == 0
    assert "removed our change of" in capsys.readouterr().out and picture(home) == before


def test_measure_ranks_given_mirrors_and_apply_takes_a_companys_best(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with MirrorServer() as well, MirrorServer(mood="firewall") as blocked:
        assert main(["mirrors", "measure", f"--set=uv={well.index}", f"--set=uv={blocked.index}", "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [(row["serves"], row["refusal"]) for row in rows] == [(True, ""), (False, "refused-403")]
        assert main(["mirrors", "measure", f"--set=uv={blocked.index}", f"--set=uv={well.index}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "uv" and lines[1].startswith(f"  ✓ {well.index}") and "sha256 right" in lines[2]
        assert "refused-403" in lines[3] and "allow-list" in lines[4] and lines[-1].startswith("1 of 2 serve.")
        assert main(["mirrors", "apply", "--tool", "uv", "--yes"]) == 0
    assert f'url = "{well.index}"' in (home / "dotfiles/uv.toml").read_text()


def test_where_no_mirror_serves_nothing_is_written_and_each_reason_is_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = picture(home)
    with MirrorServer(mood="captive") as page:
        assert main(["mirrors", "measure", f"--set=uv={page.index}"]) == 0
        assert main(["mirrors", "apply", "--tool", "uv", "--yes"]) == 5
    assert "web page instead" in capsys.readouterr().err and picture(home) == before


def test_list_shows_a_users_own_rows_first_and_knows_near_names(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".config/provision").mkdir()
    (home / ".config/provision/mirrors.yaml").write_text(
        "- {tool: pip, urls: ['https://u:s3cret@pip.example.org/simple']}\n"
    )
    assert main(["mirrors", "list", "--tool", "pip"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1] == "  https://***@pip.example.org/simple" and "s3cret" not in out
    assert main(["mirrors", "list", "--tool", "pipp"]) == 2
    assert "did you mean 'pip'" in capsys.readouterr().err


def test_without_an_address_or_a_tool_the_error_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mirrors", "diff"]) == 2
    assert "--set pip=" in capsys.readouterr().err


@pytest.mark.parametrize(("shell", "line"), [("fish", "set -gx HF_ENDPOINT"), ("powershell", "$env:HF_ENDPOINT = ")])
def test_export_env_speaks_each_shell(shell: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "provision.yaml").write_text("mirrors: {huggingface: https://hf-mirror.com}\n")
    assert main(["export", "env", "--shell", shell]) == 0
    assert line in capsys.readouterr().out


def test_export_env_can_be_installed_for_every_shell_and_undone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = picture(home)
    assert main(["export", "env", "--install", "--profile", "smoke"]) == 0
    assert "HF_HUB_CACHE" in (home / ".config/provision/env.d/store.sh").read_text()
    assert main(["mirrors", "undo", "--tool", "store", "--yes"]) == 0
    assert picture(home) == before


def test_a_file_that_needs_root_is_named(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; the message is for others")
    assert main(["mirrors", "apply", "--scope", "system", "--set=pip=https://m.example.org/simple", "--yes"]) == 5
    assert "/etc/pip.conf" in capsys.readouterr().err


def test_after_kill_9_in_the_middle_the_next_command_gives_everything_back(home: Path, tmp_path: Path) -> None:
    """The real program, killed while the real conda (here: one that takes its time) is asked."""
    before = picture(home)
    conda = tmp_path / "bin/conda"
    conda.parent.mkdir()
    conda.write_text("#!/bin/sh\necho asked >>conda-was\nsleep 60\n")
    conda.chmod(0o755)
    env = {**os.environ, "PATH": f"{conda.parent}:{os.environ['PATH']}"}
    words = [sys.executable, "-m", "provision", "mirrors"]
    apply = [*words, "apply", UV, "--set=conda=https://m.example.org/anaconda", "--yes"]
    process = subprocess.Popen(apply, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "conda-was").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert picture(home) != before, "it was in the middle"
    done = subprocess.run([*words[:-1], "status", "--json"], capture_output=True, text=True, check=True, env=env)
    assert json.loads(done.stdout)["settings"] == [] and picture(home) == before


@pytest.mark.parametrize(("answer", "left"), [("merge", "theirs"), ("restore", "first"), ("keep", "as it is")])
def test_at_a_terminal_each_edited_file_is_a_question(home: Path, tmp_path: Path, answer: str, left: str) -> None:
    first = (home / ".condarc").read_text()
    assert main(["mirrors", "apply", "--set=conda=https://m.example.org/anaconda", UV, "--yes"]) == 0
    ours = (home / ".condarc").read_text()
    (home / ".condarc").write_text(ours + "# theirs\n")
    near, far = pty.openpty()
    words = [sys.executable, "-m", "provision", "mirrors", "undo"]
    process = subprocess.Popen(words, stdin=far, stdout=far, stderr=far, env={**os.environ, "TERM": "dumb"})
    os.close(far)
    os.write(near, f"{answer}\ny\n".encode())
    said = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while more := os.read(near, 4096):
            said += more
    os.close(near)
    assert process.wait() == 0, said.decode()
    assert b"+# theirs" in said and b"take our lines out" in said and b"s3cret" not in said
    wanted = {"theirs": first + "# theirs\n", "first": first, "as it is": ours + "# theirs\n"}
    assert (home / ".condarc").read_text() == wanted[left]
    assert (home / "dotfiles/uv.toml").read_bytes() == b"# mine\r\nnative-tls = true"
    kept = [path.read_text() for path in (tmp_path / "state/changes/kept").glob("*")]
    assert kept == {"merge": [], "restore": [ours + "# theirs\n"], "keep": [first]}[answer]
