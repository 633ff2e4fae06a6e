"""With the real Docker Engine: a base without a registry, the CPU image with a real nvcc, the suite in it end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from testcontainers.core.container import DockerContainer

from provision.errors import EngineUnreachable, MachineError
from provision.formats.json import schema
from provision.machines.build_cache import ours
from provision.machines.building import Order
from provision.machines.engine import PLAIN_USER, ContainerSettings, Engine, Mount, connect
from provision.machines.interface import Outcome
from provision.mirrors.environment import AUTHORITIES
from provision.surroundings import BUNDLE
from tests.conftest import REAL_ENVIRON
from tests.engine.conftest import HOME, IMAGE
from tests.engine.own_engine import BASE, CACHED
from tests.program import environ, report, run, status_of

pytestmark = pytest.mark.usefixtures("no_leftovers")


def test_the_whole_suite_passes_in_the_image(first: dict[str, Any]) -> None:
    jsonschema.validate(first, schema())
    statuses = status_of(first)
    for name in ("toolkit.nvcc.version", "toolkit.nvcc.compiles", "engine.shm", "generation.thinking_split", "model.files"):
        assert statuses[name] == "pass", name
    assert set(statuses.values()) == {"pass", "skip"}
    assert first["environment"]["network"] == "cut off" and first["environment"]["digest"].startswith("sha256:")
    assert first["generation"]["state"] == "closed" and first["generation"]["reasoning"]


def test_the_second_run_changes_nothing(first: dict[str, Any], spec: Path) -> None:
    again = report(run("up", "-f", str(spec), "--json", env=environ(HOME)))
    assert [(step["name"], step["changed"]) for step in again["steps"]] == [
        ("base", False),
        ("lock", False),
        ("image", False),
        ("models", False),
    ]
    assert again["exit_code"] == 0


def test_a_store_that_a_umask_closed_is_no_missing_model(spec: Path, store: Path, tmp_path: Path) -> None:
    closed = tmp_path / "store"
    subprocess.run(["cp", "-a", str(store), str(closed)], check=True)
    closed.chmod(0o700)
    question = ("check", "-f", str(spec), "--scope=model", "--json")
    found = report(run(*question, env=environ(HOME, PROVISION_STORE=str(closed))))
    assert found["root_cause"] == ["model.structure"]
    [told] = [check for check in found["checks"] if check["id"] == "model.structure"]
    assert (told["code"], told["hint"]) == ("model-closed", f"chmod -R go+rX {closed}")
    subprocess.run(["sh", "-c", told["hint"]], check=True)
    assert status_of(report(run(*question, env=environ(HOME, PROVISION_STORE=str(closed)))))["model.structure"] == "pass"


def test_any_image_with_python_is_checked_as_it_is(engine: Engine, first: dict[str, Any]) -> None:
    found = report(run("check", "--image", "provision-base:bookworm", "--json", env=environ(HOME)))
    assert found["root_cause"] == ["torch.import"] and found["exit_code"] == 1
    assert found["environment"]["image"] == "provision-base:bookworm"
    missing = report(run("check", "--image", "no/such:image", "--json", env=environ(HOME)))
    assert missing["exit_code"] == 1 and "no/such:image" in str(missing["checks"])


def test_checks_run_cut_off_as_a_plain_user_without_capabilities(engine: Engine, image: str) -> None:
    with engine.container(ContainerSettings(image)) as machine:
        assert machine.run(["id", "-u"]).text.strip() == PLAIN_USER.split(":")[0]
        status = machine.read("/proc/self/status") or b""
        assert b"CapEff:\t0000000000000000" in status and b"NoNewPrivs:\t1" in status
        assert machine.run(["python", "-c", "import os; print(sorted(os.listdir('/sys/class/net')))"]).text == "['lo']\n"
        assert not machine.run(["touch", "/opt/venv/x"]).ok
        with pytest.raises(MachineError, match="cannot write /opt/x"):
            machine.write("/opt/x", b"")


def test_a_container_is_a_machine_like_any_other(engine: Engine, image: str) -> None:
    with engine.container(ContainerSettings(image)) as machine:
        done = machine.run(
            ["python", "-c", "import sys,os; print(sys.stdin.read(), os.environ['X'])"], stdin=b"in", env={"X": "y"}
        )
        assert done.ok and done.text == "in y\n"
        assert machine.run(["python", "-c", "raise SystemExit(9)"]).returncode == 9
        assert machine.run(["sleep", "30"], timeout=0.5).outcome is Outcome.TIMED_OUT
        assert machine.run(["no-such-program"]).outcome is Outcome.NOT_FOUND
        heard: list[str] = []
        machine.run(["sh", "-c", "echo a; echo b >&2"], on_line=heard.append)
        assert sorted(heard) == ["a", "b"]
        machine.write("/tmp/f", "内".encode(), 0o600)
        assert machine.read("/tmp/f") == "内".encode() and machine.exists("/tmp/f") and machine.read("/tmp/g") is None
        flood = machine.run(["python", "-c", "import sys; sys.stdout.write('x' * (9 << 20)); sys.stdout.write('END')"])
        assert flood.text.endswith("END") and len(flood.stdout) <= 4 << 20


def test_a_container_that_cannot_start_is_removed(engine: Engine, image: str) -> None:
    with (
        pytest.raises(MachineError, match="could not be started") as caught,
        engine.container(ContainerSettings(image, gpus=True)),
    ):
        pass
    assert "device driver" in caught.value.context
    with pytest.raises(RuntimeError), engine.container(ContainerSettings(image)):
        raise RuntimeError("a bug in a check")


def test_no_engine_says_why_and_what_local_would_do(tmp_path: Path, spec: Path) -> None:
    env = environ(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    done = run("up", "-f", str(spec), env=env)
    assert done.returncode == 5 and "--engine local" in done.stderr and "Traceback" not in done.stderr
    with pytest.raises(EngineUnreachable) as caught:
        connect(env, "")
    assert "no engine's socket" in caught.value.hint
    planned = run("plan", "--profile", "smoke", env=env)
    assert planned.returncode == 0 and "engine: local" in planned.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_user_who_may_not_is_told_so(engine: Engine) -> None:
    source = (
        "import os, docker, requests, encodings.idna\n"
        "from provision.machines.engine import connect\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: connect({}, '')\n"
        "except Exception as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=REAL_ENVIRON, check=False)
    assert "usermod -aG docker" in done.stdout, done.stderr


def test_the_image_serves_people_too_by_both_hubs_names(image: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    source = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer; from modelscope import snapshot_download;"
        "t = AutoTokenizer.from_pretrained('provision/tiny-think');"
        "AutoModelForCausalLM.from_pretrained('provision/tiny-think');"
        "print('doors', len(t), snapshot_download('provision/tiny-think', local_files_only=True))"
    )
    container = (
        DockerContainer(image, network_mode="none", read_only=True)
        .with_tmpfs_mount("/tmp")
        .with_command(["python", "-c", source])
    )
    container.with_volume_mapping(str(store), "/models", "ro")
    for name, value in {
        "HF_HUB_CACHE": "/models/.hf/hub",
        "HF_HUB_OFFLINE": "1",
        "MODELSCOPE_CACHE": "/models/.modelscope",
    }.items():
        container.with_env(name, value)
    with container:
        container.get_wrapped_container().wait(timeout=120)
        out, err = container.get_logs()
    assert b"doors 512 /models/" in out, err.decode()[-2000:]


def test_run_reaches_inside_and_hands_back_the_exit_code(first: dict[str, Any], spec: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("from outside")
    words = ("run", "-f", str(spec), "--", "python", "-c", "print(open('mine.txt').read()); raise SystemExit(3)")
    done = run(*words, env=environ(HOME), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "from outside\n"), done.stderr


def test_run_hands_mirrors_caches_and_authorities_inside(first: dict[str, Any], spec: Path, tmp_path: Path) -> None:
    index = "https://me:s3cret@m.example.org/simple"
    env = environ(HOME, HF_ENDPOINT="https://hf.example.org", PIP_INDEX_URL=index, SSL_CERT_FILE="/etc/ssl/cert.pem")
    words = ("run", "-f", str(spec), "--", "python", "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    done = run(*words, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["HF_ENDPOINT"], found["PIP_INDEX_URL"], found["UV_DEFAULT_INDEX"]) == (
        "https://hf.example.org",
        index,
        index,
    )
    assert (found["HF_HUB_CACHE"], found["HF_HUB_OFFLINE"]) == ("/models/.hf/hub", "1")
    assert {found[name] for name in AUTHORITIES} == {BUNDLE}


def test_down_takes_away_ours_and_nothing_else(engine: Engine, first: dict[str, Any], tmp_path: Path) -> None:
    mine = Engine(engine._client, str(tmp_path), REAL_ENVIRON)
    context: dict[str, bytes | Path] = {"Dockerfile": b"FROM provision-base:bookworm\nRUN true\n"}
    mine.build(Order(context, "provision-test/down"), print, print)
    status = run("status", "--json", env=environ(tmp_path))
    assert "provision-test/down:latest" in status.stdout and IMAGE not in status.stdout
    done = run("down", env=environ(tmp_path))
    assert done.returncode == 0 and "removed image provision-test/down:latest" in done.stdout
    assert mine.images() == [] and engine.image(IMAGE) is not None
    assert "Nothing of ours is here." in run("down", env=environ(tmp_path)).stdout


def test_down_leaves_the_build_cache_to_the_other_homes_that_build_with_it(
    engine: Engine, first: dict[str, Any], tmp_path: Path
) -> None:
    mine = Engine(engine._client, str(tmp_path), REAL_ENVIRON)
    mine.build(Order({"Dockerfile": f"FROM {BASE}\n{CACHED} true\n".encode()}, "provision-test/down"), print, print)
    before = ours(engine._client.api.df()["BuildCache"])
    done = run("down", env=environ(tmp_path))
    assert "of build cache" not in done.stdout and "docker builder prune" in done.stderr and str(HOME) in done.stderr
    assert {row["ID"] for row in before} <= {row["ID"] for row in engine._client.api.df()["BuildCache"]} and before


def test_an_image_that_a_newer_one_replaced_goes_unless_something_stands_on_it(engine: Engine, tmp_path: Path) -> None:
    mine = Engine(engine._client, str(tmp_path), REAL_ENVIRON)

    def built(word: str) -> str:
        return mine.build(
            Order({"Dockerfile": f"FROM {BASE}\nENV A={word}\n".encode()}, "provision-test/again"), print, print
        )

    one = built("one")
    with mine.container(ContainerSettings("provision-test/again")):
        two = built("two")
        assert mine.image(one) and mine.image(two)
    three = built("three")
    assert [image["Id"] for image in mine.images()] == [three] != [two]
    mine.remove_ours()


def test_mounts_are_read_only_unless_said(engine: Engine, image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for writable in (False, True):
        with engine.container(ContainerSettings(image, mounts=(Mount(str(tmp_path), "/m", writable),))) as machine:
            assert machine.run(["touch", "/m/x"]).ok is writable
