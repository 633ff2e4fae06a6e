"""Local environments: what is run to make them, what is adopted, and what an installer's failure is likely to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import BuildFailed, StepFailed
from provision.events import silent
from provision.machines.interface import OUTPUT_LIMIT, Completed, Outcome
from provision.machines.local import LocalMachine
from provision.pins import Pin, Pins
from provision.site import find_uv
from provision.steps.environment import AdoptedEnvironment, Installer, LocalEnvironment, distribution, libraries
from tests.conftest import REAL_ENVIRON
from tests.fakes.wheels import torch_wheel

UV = Installer(uv="/bin/uv", index="https://mirror.example/simple", find_links=("/wheels",), trust={"SSL_CERT_FILE": "/ca"})
EXTRA = Installer(uv="/bin/uv", extra_indexes=("https://extra.example",))
PINS = Pins(
    {},
    "2.13.0",
    "cpu",
    "",
    "",
    tuple(
        Pin(name, version, ("sha256:aa",), layer)
        for name, version, layer in (
            ("torch", "2.13.0+cpu", "torch"),
            ("transformers", "5.1", "libraries"),
            ("uv", "1", "tools"),
        )
    ),
)
Answer = Callable[[Sequence[str]], tuple[int, str]]


class Recorder:
    """A machine that keeps what was asked of it: files in a dictionary, commands in a list."""

    name = "recorder"

    def __init__(self, answer: Answer = lambda argv: (0, "")) -> None:
        self.files: dict[str, bytes] = {}
        self.commands: list[list[str]] = []
        self.envs: list[Mapping[str, str]] = []
        self._answer = answer

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30.0,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.commands.append(list(argv))
        self.envs.append(env or {})
        code, words = self._answer(argv)
        return Completed(tuple(argv), Outcome.EXITED, code, words.encode(), words.encode() if code else b"", 0.1)

    def read(self, path: str, limit: int = OUTPUT_LIMIT) -> bytes | None:
        return self.files.get(path)

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self.files[path] = data

    def exists(self, path: str) -> bool:
        return path in self.files


def local(machine: Recorder, **changes: object) -> LocalEnvironment:
    given = {
        "folder": "/env",
        "base_python": "/usr/bin/python3",
        "pinned": lambda: PINS,
        "installer": UV,
    }
    return LocalEnvironment(machine, **{**given, **changes})  # type: ignore[arg-type]


def build(machine: Recorder, **changes: object) -> LocalEnvironment:
    step = local(machine, **changes)
    step.apply(lambda event: None)
    machine.files["/env/bin/python"] = b""
    return step


def test_what_is_pinned_is_installed_and_nothing_else() -> None:
    machine = Recorder()
    step = build(machine)
    create, install = machine.commands
    assert create[:3] == ["/bin/uv", "venv", "--clear"] and create[-1] == "/env"
    assert {"--no-deps", "--require-hashes"} < set(install)
    listed = machine.files[install[-1]].decode()
    assert listed.startswith("torch==2.13.0+cpu \\\n    --hash=sha256:aa") and "transformers==5.1" in listed
    assert "uv==" not in listed  # the installer is the machine's own here
    places = {"UV_DEFAULT_INDEX": "https://mirror.example/simple", "UV_FIND_LINKS": "/wheels"}
    assert machine.envs[1] == {"SSL_CERT_FILE": "/ca", **places}
    assert not [word for word in (*create, *install) if "mirror.example" in word], "a command line is anybody's to read"
    assert step.diff() is None


def test_nothing_is_built_of_what_nothing_pins() -> None:
    step = local(Recorder(), pinned=lambda: None)
    assert step.diff() is not None
    with pytest.raises(StepFailed, match="nothing is pinned yet"):
        step.apply(lambda event: None)


def test_a_further_index_is_asked_for_additions() -> None:
    words = EXTRA.add("/opt/py", ["einops"])
    assert EXTRA.env == {"UV_INDEX": "https://extra.example"} and words[-1] == "einops"


def test_pips_settings_are_the_environments_own() -> None:
    machine = Recorder()
    build(machine, pip_settings="[global]\nindex-url = https://mirror.example/simple\n")
    assert machine.files["/env/pip.conf"] == b"[global]\nindex-url = https://mirror.example/simple\n"


@pytest.mark.parametrize(
    "change",
    [
        {"pinned": lambda: replace(PINS, pins=PINS.pins[1:])},
        {"pinned": lambda: replace(PINS, pins=(replace(PINS.pins[0], hashes=("sha256:bb",)), *PINS.pins[1:]))},
        {"base_python": "/x"},
        {"pip_settings": "x"},
    ],
)
def test_another_wish_is_a_difference(change: dict[str, object]) -> None:
    machine = Recorder()
    build(machine)
    found = local(machine, **change).diff()
    assert found and found.summary.startswith("rebuild: what is wanted has changed")


def test_half_built_is_not_built() -> None:
    def answer(argv: Sequence[str]) -> tuple[int, str]:
        return (1, "No space left on device") if "--require-hashes" in argv else (0, "")

    machine = Recorder(answer)
    with pytest.raises(BuildFailed) as caught:
        local(machine).apply(lambda event: None)
    assert "the disk is full" in caught.value.hint and "No space left" in caught.value.context
    assert "/env/provision-environment.json" not in machine.files and local(machine).diff() is not None


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("dns error: failed to lookup address", "no network"),
        ("invalid peer certificate: UnknownIssuer", "private CA"),
        ("there is no version of torch==9", "no index here holds this torch"),
        ("The virtual environment was not created successfully because ensurepip is not available", "python3-venv"),
        ("something else", "the installer's own"),
    ],
)
def test_what_is_likely_behind_a_failure(words: str, hint: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        local(Recorder(lambda argv: (1, words))).apply(lambda event: None)
    assert hint in caught.value.hint


def adopted(
    installed: dict[str, str], code: int = 0, cuda_torch: str = "", **more: object
) -> tuple[AdoptedEnvironment, Recorder]:
    machine = Recorder(lambda argv: (code, json.dumps({"packages": installed, **more})))
    wanted = ["transformers>=4.51", "huggingface_hub", "numpy"]
    return AdoptedEnvironment(machine, "/opt/own/bin/python", wanted, UV, cuda_torch), machine


def test_an_adopted_environment_gets_only_what_it_lacks_and_its_torch_is_pinned() -> None:
    step, machine = adopted({"torch": "2.6.0+cu124", "numpy": "2.0"})
    change = step.diff()
    assert change and change.summary == "in /opt/own/bin/python: add transformers>=4.51, huggingface_hub"
    step.apply(lambda event: None)
    assert machine.commands[-1][-3:] == ["transformers>=4.51", "huggingface_hub", "torch==2.6.0+cu124"]


def test_a_whole_adopted_environment_is_as_wanted() -> None:
    step, _ = adopted({"torch": "2.6", "numpy": "2", "transformers": "5", "huggingface-hub": "2"})
    assert step.diff() is None


@pytest.mark.parametrize(("installed", "code", "message"), [({}, 0, "there is no torch"), ({}, 1, "cannot be used")])
def test_what_cannot_be_adopted(installed: dict[str, str], code: int, message: str) -> None:
    step, _ = adopted(installed, code)
    with pytest.raises(StepFailed, match=message):
        step.diff()


WHOLE = {"torch": "2.6.0+cpu", "numpy": "2", "transformers": "5", "huggingface-hub": "2"}


@pytest.mark.parametrize(
    ("more", "words", "hint"),
    [
        ({"managed": True}, "system's own package manager", "leave --python out"),
        ({"writable": False, "folder": "/opt/own/lib"}, "/opt/own/lib may not be written", "leave --python out"),
        ({"torch_by": "conda"}, "from conda", "conda install --prefix /opt/own pytorch-gpu"),
    ],
)
def test_what_may_not_be_changed_says_so_before_anything_is_done(more: dict[str, object], words: str, hint: str) -> None:
    step, machine = adopted(WHOLE, cuda_torch="torch===2.6.0", **more)
    with pytest.raises(StepFailed, match=words) as caught:
        step.diff()
    assert hint in caught.value.hint and "replace torch 2.6.0+cpu" in caught.value.context
    assert caught.value.name == "python-not-ours" and len(machine.commands) == 1
    assert adopted(WHOLE, **more)[0].diff() is None  # as it is, it will do


def test_to_a_conda_environment_what_lacks_is_added_and_a_cpu_torch_of_condas_is_known_by_its_files() -> None:
    change = adopted({"torch": "2.6.0"}, torch_by="conda")[0].diff()
    assert change and "add transformers" in change.summary
    with pytest.raises(StepFailed, match="from conda"):
        adopted({"torch": "2.6.0"}, cuda_torch="torch===2.6.0", torch_by="conda", names_no_gpu=True)[0].diff()
    other = adopted({"torch": "2.6.0"}, cuda_torch="torch===2.6.0", torch_by="pip", names_no_gpu=True)[0].diff()
    assert other and "replace" not in other.summary


def test_the_requirement_set_is_what_the_tutorial_imports() -> None:
    assert {distribution(line) for line in libraries()} >= {
        "transformers",
        "accelerate",
        "modelscope",
        "huggingface-hub",
        "numpy",
    }


def test_a_cpu_torch_of_somebodys_own_is_found_and_replaced_by_the_real_installer(tmp_path: Path) -> None:
    machine = LocalMachine({**REAL_ENVIRON, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache")})
    uv = find_uv(machine) or ""
    for version in ("2.13.0+cpu", "2.13.0"):
        torch_wheel(tmp_path, version)
    installer = Installer(uv, find_links=(str(tmp_path),))
    python = str(tmp_path / "own" / "bin" / "python")
    assert machine.run([uv, "venv", "-q", str(tmp_path / "own")], timeout=60).ok
    done = machine.run(installer.add(python, ["torch==2.13.0+cpu"]), env=installer.env, timeout=60)
    assert done.ok, done.error_text
    assert AdoptedEnvironment(machine, python, (), installer).diff() is None  # no GPU: a CPU build is right
    step = AdoptedEnvironment(machine, python, (), installer, cuda_torch="torch===2.13.0")
    change = step.diff()
    assert change and "replace torch 2.13.0+cpu by torch===2.13.0" in change.summary and "GPU" in change.details[0]
    step.apply(silent)
    assert step.diff() is None
    assert machine.run([python, "-c", "import torch; print(torch.version)"]).text == "2.13.0\n"
