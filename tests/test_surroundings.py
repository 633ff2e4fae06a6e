"""One environment wherever a place is: what differs between the machine and containers is paths, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from provision import inside, prove
from provision.cli import main
from provision.export import Handover, compose, devcontainer, kubernetes
from provision.facts.python import PipSettings, PipState
from provision.machines.engine import ContainerSettings
from provision.machines.terminal import run_arguments
from provision.mirrors.environment import AUTHORITIES
from provision.site import survey
from provision.spec import Spec, load
from provision.store import Store
from provision.surroundings import BUNDLE, Inherited, private, public, surroundings
from tests.fakes.machine import ScriptedMachine

SPEC = "mirrors: {huggingface: 'https://hf-mirror.com', pip: 'https://me:s3cret@m.example.org/simple'}\n"
ENVIRON = {
    "MODELSCOPE_ENDPOINT": "https://hub.example.org",
    "REQUESTS_CA_BUNDLE": "/etc/company/ca.pem",
    "https_proxy": "http://proxy.example.org:3128",
    "HTTP_PROXY": "http://127.0.0.1:8118",
    "NO_PROXY": "internal.example.org",
}
PIP = PipSettings(
    PipState.READ,
    index_url="https://company.example.org/simple",
    extra_index_urls=("file:///opt/own", "https://extra.example.org/simple"),
    cert="/etc/pip-ca.pem",
    trusted_hosts=("extra.example.org",),
)


def given(environ: Mapping[str, str] | None = None, pip: PipSettings = PIP, uv: str = "", **more: Any) -> dict[str, str]:
    return surroundings(load(environ={}), environ or {}, Inherited(pip, uv), Store("/store"), **more)


def spec_of(mirrors: str, folder: Path) -> Spec:
    (folder / "provision.yaml").write_text(f"mirrors: {{{mirrors}}}\n")
    return load(file=folder / "provision.yaml", environ={})


def test_here_and_inside_differ_in_paths_alone() -> None:
    here, there = given(ENVIRON), given(ENVIRON, inside=True)
    same = {name: value for name, value in there.items() if here.get(name) == value}
    assert set(there) - set(same) == {"HF_HUB_CACHE", "MODELSCOPE_CACHE", "PIP_EXTRA_INDEX_URL", *AUTHORITIES}
    assert set(here) - set(there) == {"http_proxy", "HTTP_PROXY"}, "a proxy on this machine's loopback"
    assert (here["HF_HUB_CACHE"], there["HF_HUB_CACHE"]) == ("/store/.hf/hub", "/models/.hf/hub")
    assert (here["SSL_CERT_FILE"], there["SSL_CERT_FILE"]) == ("/etc/company/ca.pem", BUNDLE)
    assert here["PIP_EXTRA_INDEX_URL"] == "file:///opt/own https://extra.example.org/simple"
    assert there["PIP_EXTRA_INDEX_URL"] == "https://extra.example.org/simple"
    assert same["no_proxy"] == same["NO_PROXY"] == "internal.example.org"


def test_what_the_machine_is_set_to_is_inherited_and_the_spec_stands_over_it(tmp_path: Path) -> None:
    assert given()["PIP_INDEX_URL"] == given()["UV_DEFAULT_INDEX"] == PIP.index_url and given()["PIP_CERT"] == PIP.cert
    assert given(uv="https://uv.example.org/simple")["UV_DEFAULT_INDEX"] == "https://uv.example.org/simple"
    bare = PipSettings(PipState.READ)
    assert set(given(pip=bare)) == {"HF_HUB_CACHE", "HF_HUB_OFFLINE", "MODELSCOPE_CACHE"}
    spec = spec_of("pip: https://mine.example.org/simple", tmp_path)
    found = surroundings(spec, ENVIRON, Inherited(PIP), Store("/store"))
    assert found["PIP_INDEX_URL"] == found["UV_DEFAULT_INDEX"] == "https://mine.example.org/simple"
    assert "PIP_EXTRA_INDEX_URL" not in found, "what competes with an index that was chosen is not handed on"


@pytest.mark.parametrize("value", ["https://u:p@h/", "file:///x https://u:p@h/", "u:p@proxy:3128"])
def test_a_credential_is_found_wherever_it_stands(value: str) -> None:
    assert private({"A": value, "B": "/home/me@work/ca.pem", "C": "https://h/@x"}) == {"A": value}


def test_upstream_hands_on_no_mirror_of_the_machine(tmp_path: Path) -> None:
    spec = spec_of("pip: upstream, uv: upstream", tmp_path)
    found = surroundings(spec, {}, Inherited(PIP, "https://uv.example.org/simple"), Store("/store"))
    assert not [name for name in found if "INDEX" in name]


@pytest.fixture
def machine_of_a_company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A home with a spec of its own and a company's variables; returns what a container must be handed."""
    (tmp_path / "provision.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVISION_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    spec = load(file=tmp_path / "provision.yaml", environ=os.environ)
    site = survey(spec, os.environ, want_engine=False)
    found = site.surroundings(inside=True)
    assert {"HF_ENDPOINT", "PIP_INDEX_URL", "MODELSCOPE_ENDPOINT", "https_proxy", *AUTHORITIES} <= set(found)
    assert private(found) == {name: found[name] for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")}
    return found


def handed(found: Mapping[str, str]) -> Handover:
    return Handover("i", "bare", "/store", "/program", "/w", variables=public(found), passed=tuple(private(found)))


def test_every_place_is_handed_the_same(
    machine_of_a_company: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = machine_of_a_company
    assert main(["export", "compose"]) == 0
    composed = yaml.safe_load(capsys.readouterr().out)["services"]
    assert main(["export", "devcontainer"]) == 0
    editor = json.loads(capsys.readouterr().out)["containerEnv"]
    assert main(["export", "kubernetes"]) == 0
    text = capsys.readouterr().out
    pods = [each["spec"].get("template", each)["spec"]["containers"][0] for each in yaml.safe_load_all(text)]
    own = {"PYTHONPATH", "PROVISION_HOME", "PROVISION_STORE"}
    for service in composed.values():
        told = {name: value for name, value in service["environment"].items() if name not in own}
        assert {name: found[name] if value is None else value for name, value in told.items()} == found
    told = {name: found[name] if value == f"${{localEnv:{name}}}" else value for name, value in editor.items()}
    assert told == found
    for pod in pods:
        told = {row["name"]: row.get("value", found.get(row["name"])) for row in pod["env"] if row["name"] not in own}
        assert told == found
    assert 'kubectl create secret generic provision --from-literal=PIP_INDEX_URL="$PIP_INDEX_URL"' in text
    assert main(["export", "env", "--shell", "sh"]) == 0
    lines = dict(line.removeprefix("export ").split("=", 1) for line in capsys.readouterr().out.splitlines())
    here = {"HF_HUB_CACHE", "MODELSCOPE_CACHE", "http_proxy", "HTTP_PROXY", *AUTHORITIES}
    assert {name: value for name, value in lines.items() if name not in here} == {
        name: value for name, value in found.items() if name not in here
    }
    assert set(lines) == set(found) | {"http_proxy", "HTTP_PROXY"}


def test_no_credential_stands_in_what_is_handed_over_or_on_a_command_line(machine_of_a_company: dict[str, str]) -> None:
    here = handed(machine_of_a_company)
    words = run_arguments(here.environment(), ["true"], "/work")
    assert "--env=PIP_INDEX_URL" in words and "--env=HF_ENDPOINT=https://hf-mirror.com" in words
    for text in (compose(here), devcontainer(here), kubernetes(here), " ".join(words)):
        assert "s3cret" not in text


def test_checks_and_run_are_handed_what_the_site_says(
    machine_of_a_company: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class KnownEngine:
        """Remembers how it was asked to start a container."""

        settings: ContainerSettings
        environ: Mapping[str, str] = MappingProxyType({})

        def image(self, name: str) -> dict[str, str]:
            return {"Id": "sha256:0"}

        def container(self, settings: ContainerSettings) -> Any:
            self.settings = settings
            return nullcontext(ScriptedMachine())

    spec = load(file=tmp_path / "provision.yaml", environ=os.environ)
    engine = KnownEngine()
    site = replace(survey(spec, os.environ, want_engine=False), engine=engine)  # type: ignore[arg-type]
    with prove.enter(site, prove.Question()):
        assert dict(engine.settings.environment) == machine_of_a_company
    with prove.enter(site, prove.Question(image="somebody/else")):
        assert not set(AUTHORITIES) & set(engine.settings.environment)
    called: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(inside, "hand_over", lambda words, environ: called.append((list(words), dict(environ))) or 0)
    inside.enter_and_run(site, ["true"], os.environ)
    words, environ = called[0]
    variables = [word.removeprefix("--env=") for word in words if word.startswith("--env=")]
    told = dict(word.split("=", 1) for word in variables if "=" in word)
    passed = [word for word in variables if "=" not in word]
    assert {**told, **{name: environ[name] for name in passed}} == machine_of_a_company
