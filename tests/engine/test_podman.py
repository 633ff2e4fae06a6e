"""Podman's own API, as root and as a plain user: base, build, checks, run, and nothing left after `down`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.errors import BuildFailed, MachineError
from provision.events import Note
from provision.machines.building import Order
from provision.machines.engine import ContainerSettings, Engine, Mount
from provision.plan import converge
from provision.steps.image import Image, Recipe
from tests.engine.own_engine import BASE
from tests.engine.own_podman import OwnPodman, own_podman
from tests.engine.tenant import TENANT
from tests.program import environ, report, run

TAG = "provision-test/small:latest"
PASSWORD = b"kaninchenbau-7731"


@pytest.fixture(scope="module")
def archive(engine: Engine, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base's root file system, as mmdebstrap would hand it in."""
    path = tmp_path_factory.mktemp("base") / "base.tar"
    api = engine._client.api
    made = api.create_container(BASE, command=["true"])["Id"]
    try:
        with path.open("wb") as file:
            file.writelines(api.export(made))
    finally:
        api.remove_container(made, force=True)
    return path


@pytest.fixture(scope="module", params=["root", "tenant"])
def podman(request: pytest.FixtureRequest, archive: Path) -> Iterator[OwnPodman]:
    with own_podman(tenant=request.param == "tenant") as found:
        yield found


@pytest.fixture(scope="module")
def there(podman: OwnPodman, archive: Path) -> Engine:
    """An engine with a base of ours in it, under a home of the test's own."""
    found = podman.connect(podman.folder / "ours")
    found.import_base(archive, BASE, {})
    return found


def test_it_builds_by_itself_and_the_second_run_changes_nothing(podman: OwnPodman, there: Engine, small: Recipe) -> None:
    told: list[str] = []
    image = Image(there, TAG, 0, lambda: small, lambda: None)

    def listen(event: object) -> None:
        if isinstance(event, Note) and event.level != "detail":
            told.append(event.text)

    assert [converge([image], listen)[0].changed for _ in range(2)] == [True, False]
    assert "RUN sh /usr/local/lib/provision/install.sh packages /opt/venv" in told
    assert not [line for line in told if "classic" in line]
    config = (there.image(TAG) or {})["Config"]
    assert config["User"] == "provision" and config["Labels"]["io.provision.lock"] == small.pins.digest
    assert podman.ask(f"images/{TAG}/json")["Healthcheck"]["Test"][0] == "CMD"  # kept in Docker's format alone
    assert any("install.sh packages" in step["CreatedBy"] for step in there.history(TAG))
    with there.container(ContainerSettings(TAG, mounts=(Mount("/etc", "/m"),))) as machine:
        assert machine.run(["python", "-c", "import idna, tqdm"]).ok and machine.exists("/m/passwd")


def test_a_command_runs_inside_and_what_it_writes_is_the_users_own(
    podman: OwnPodman, there: Engine, tmp_path: Path
) -> None:
    spec = podman.folder / "provision.yaml"
    spec.write_text(f"profile: bare\nengine: docker\ngpu: none\nimage:\n  name: {TAG}\n")
    words = ["--", "sh", "-c", "echo made >made; python -c 'import idna'; exit 7"]
    done = run("run", "-f", str(spec), *words, env=environ(podman.folder / "ours", **podman.environ), cwd=podman.folder)
    assert done.returncode == 7 and done.stderr == ""
    assert (podman.folder / "made").stat().st_uid == (TENANT if podman.tenant else os.getuid())


def test_a_secret_reaches_its_instruction_and_stays_nowhere(podman: OwnPodman, there: Engine) -> None:
    mount = "--mount=type=cache,target=/cache --mount=type=secret,id=netrc,target=/root/.netrc"
    text = f"FROM {BASE}\nRUN {mount} grep -c kaninchenbau /root/.netrc >/seen; test ! -e /cache\n"
    there.build(Order({"Dockerfile": text.encode()}, "provision-test/secret", secrets={"netrc": PASSWORD}), print, print)
    saved = b"".join(there._client.images.get("provision-test/secret").save())
    assert b"seen" in saved and PASSWORD not in saved
    assert not subprocess.run(["grep", "-rl", PASSWORD, str(podman.folder / "var-tmp")], capture_output=True).stdout


def test_a_failed_build_and_a_silent_registry_are_told_in_their_own_words(there: Engine) -> None:
    text = f"FROM {BASE}\nRUN echo before && no-such-command\n"
    with pytest.raises(BuildFailed, match="127") as caught:
        there.build(Order({"Dockerfile": text.encode()}, "provision-test/broken"), print, print)
    assert "RUN echo before" in caught.value.context and "no-such-command: not found" in caught.value.context
    with pytest.raises(MachineError, match="could not be pulled") as refused:
        there.pull("127.0.0.1:9/nobody/none:x")
    assert "connection refused" in refused.value.context


def test_it_is_known_by_its_name_and_proves_an_image(podman: OwnPodman, there: Engine, tmp_path: Path) -> None:
    env = environ(tmp_path, **podman.environ)
    done = run("check", f"--image={BASE}", "--scope=engine", "--gpu=none", "--json", env=env)
    found = {check["id"]: check for check in report(done)["checks"]}
    assert found["engine.reachable"]["summary"].startswith("podman "), done.stderr
    assert found["engine.environment"]["status"] == "pass", found["engine.environment"]


def test_an_interrupted_build_and_all_else_is_taken_away(podman: OwnPodman, there: Engine) -> None:
    def interrupt(line: str) -> None:
        if "RUN sleep" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.build(Order({"Dockerfile": f"FROM {BASE}\nRUN sleep 3\n".encode()}, "provision-test/x"), interrupt, print)
    env = environ(podman.folder / "ours", **podman.environ)
    assert run("status", env=env).stdout.startswith("engine: podman ")
    done = run("down", env=env)
    assert done.returncode == 0 and f"removed image docker.io/library/{BASE}" in done.stdout, done.stderr
    assert podman.everything() == []
