"""The command line at its edges: wrong words, wrong files, verbs that are not built, bugs, closed pipes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli import main
from provision.errors import ProvisionError
from tests.fakes import nvidia_smi
from tests.program import environ, report, run, status_of

NOT_BUILT = [["fleet", "up", "-i", "x"], ["fleet", "check", "-i", "x"], ["up", "--profile", "smoke", "--lang", "zh"]]


@pytest.mark.parametrize("words", NOT_BUILT, ids=" ".join)
def test_what_is_not_built_says_so_and_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert "not built yet" in said.err and "nothing was done" in said.err and said.out == ""


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["upp"], "no verb is called 'upp'", "did you mean 'up'?"),
        (["up", "--nope"], "No such option", "provision up --help"),
        (["up", "--engine", "podman"], "'podman' is not one of", "provision up --help"),
        (["up", "--profile", "smoek"], "no profile is called 'smoek'", "did you mean 'smoke'?"),
        (["up"], "there is no provision.yaml here", "provision init"),
        (["up", "-f", "none.yaml"], "none.yaml: cannot be read", "provision init"),
        (["check", "--scope", "tourch"], "no scope is called 'tourch'", "did you mean 'torch'?"),
        (["check", "--only", "torch.imprt"], "no check is called 'torch.imprt'", "did you mean 'torch.import'?"),
        (["check", "--skip", "torch.imprt"], "no check is called 'torch.imprt'", "did you mean 'torch.import'?"),
        (["check", "--report", "junit"], "is not FMT=PATH", "provision check --help"),
        (["check", "--report", "pdf=x"], "no report format is called 'pdf'", "junit"),
        (["mirrors", "list", "--tool", "pipp"], "no tool is called 'pipp'", "did you mean 'pip'?"),
        (["run", "--profile", "smoke"], "Missing argument", "provision run --help"),
        (["models", "pull", "a/b", "--source", "hff=x"], "hff", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_words_get_one_clear_error(
    words: list[str],
    message: str,
    hint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr()
    assert message in said.err and hint in said.err and said.out == "" and "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_no_words_at_all_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Verbs:" in capsys.readouterr().err


def test_config_prints_each_value_with_its_origin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("gpu: none\n")
    assert main(["config", "-f", str(file), "--engine", "local", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gpu"] == {"value": "none", "origin": f"{file}:1"} and found["engine"]["origin"] == "--engine"


def test_the_tutorials_own_case_is_explained_without_a_network(root: Path, tmp_path: Path) -> None:
    env = environ(tmp_path)
    cut = ["unshare", "--net"] if subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0 else []
    done = run("plan", "-f", str(root / "examples" / "qwen3-0.6b.yaml"), "--engine", "local", env=env, prefix=cut)
    assert done.returncode == 0, done.stderr
    assert "Qwen/Qwen3-0.6B@main from hf=https://hf-mirror.com, then modelscope=upstream" in done.stdout
    assert "torch" in done.stdout and list(tmp_path.iterdir()) == []


def test_init_writes_a_spec_that_is_valid_and_never_overwrites(tmp_path: Path) -> None:
    env = environ(tmp_path / "home")
    assert run("init", env=env, cwd=tmp_path).returncode == 0
    written = (tmp_path / "provision.yaml").read_text()
    assert run("config", env=env, cwd=tmp_path).returncode == 0
    again = run("init", env=env, cwd=tmp_path)
    assert again.returncode == 2 and "left as it is" in again.stderr
    assert (tmp_path / "provision.yaml").read_text() == written


def test_a_bug_leaves_its_traceback_in_a_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("provision.mirrors.catalogue.catalogue", lambda *_: 1 / 0)
    assert main(["mirrors", "list"]) == 70
    said = capsys.readouterr().err
    path = Path(next(word for word in said.split() if word.endswith(".log")))
    assert "ZeroDivisionError" in path.read_text() and "Traceback" not in said
    path.unlink()


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("provision.mirrors.catalogue.catalogue", interrupted)
    assert main(["mirrors", "list"]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error_message(tmp_path: Path) -> None:
    argv = f"{sys.executable} -m provision mirrors list | true"
    done = subprocess.run(["sh", "-c", argv], env=environ(tmp_path), capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "bug:" not in done.stderr


def test_errors_end_with_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise ProvisionError("it broke", context="literal\nwords", hint="do this", reference="some-thing")

    monkeypatch.setattr("provision.mirrors.catalogue.catalogue", fail)
    assert main(["mirrors", "list"]) == 5
    assert capsys.readouterr().err == "error: it broke  [some-thing]\n  literal\n  words\n\n  do this\n"


@pytest.mark.parametrize(
    ("behaviour", "root_cause", "status"),
    [
        ("replay", "torch.import", "pass"),
        ("not-loaded", "host.driver.loaded", "fail"),
        ("permission", "host.driver.loaded", "fail"),
        ("garbage", "host.driver.loaded", "unknown"),
    ],
)
def test_a_replayed_nvidia_smi_is_judged_as_a_machine_with_that_gpu(
    behaviour: str, root_cause: str, status: str, tmp_path: Path, root: Path
) -> None:
    capture = root / "tests" / "captures" / "nvidia-smi" / "a100-sxm4-v12.xml"
    (tmp_path / "bin").mkdir()
    nvidia_smi.install(tmp_path / "bin", behaviour, capture=capture)
    env = environ(tmp_path / "home")
    env["PATH"] = f"{tmp_path / 'bin'}:{env['PATH']}"
    found = report(run("check", "--engine", "local", "--gpu", "required", "--json", env=env))
    assert status_of(found)["host.driver.loaded"] == status
    assert root_cause in found["root_cause"] and found["exit_code"] == 1


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_us_is_answered_as_ctrl_c_is(told: signal.Signals, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "provision", "models", "serve", f"--dir={tmp_path / 'store'}", "--port=0"]
    process = subprocess.Popen(argv, env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(told)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in said and "Traceback" not in said


def test_down_sweeps_what_a_killed_process_left(tmp_path: Path) -> None:
    left = tmp_path / "provision-scratch-left"
    left.mkdir()
    done = run("down", env=environ(tmp_path, TMPDIR=str(tmp_path), DOCKER_HOST=f"unix://{tmp_path}/none.sock"))
    assert (done.returncode, done.stdout) == (0, f"removed {left}\n") and not left.exists()
