from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from provision.facts import python
from provision.facts.python import PipSettings, PipState, TorchWheel
from provision.machines.interface import Outcome
from provision.machines.local import LocalMachine
from tests.fakes.machine import ScriptedMachine, ended, said

CONFIG_LIST = """:env:.find-links='/wheels /more/wheels'
:env:.timeout='180'
global.cert='/etc/ssl/certs/ca.crt'
global.extra-index-url='\\nhttps://user:secret@mirror.example/simple\\nhttps://two.example/simple'
global.find-links='/elsewhere'
global.index-url='https://mirror.example/simple'
install.index-url="https://for-install.example/simple"
"""


def answer(version: str, prefix: str, **more: object) -> str:
    said = {"version": version, "executable": f"{prefix}/bin/python3", "prefix": prefix, **more}
    return json.dumps(said) + "\n"


def test_pips_own_answer_is_read_with_its_precedence() -> None:
    settings = python.parse_pip(python.parse_config_list(CONFIG_LIST), PipState.READ)
    assert settings == PipSettings(
        state=PipState.READ,
        index_url="https://for-install.example/simple",
        extra_index_urls=("https://user:secret@mirror.example/simple", "https://two.example/simple"),
        find_links=("/wheels", "/more/wheels"),
        cert="/etc/ssl/certs/ca.crt",
    )


def test_a_pip_that_lists_each_file_by_itself_is_asked_which_one_is_in_force() -> None:
    listed = "global.index-url='https://user.example'\nglobal.timeout='3'\nglobal.index-url='https://site.example'\n"
    pip = ("python3", "-m", "pip", "config")
    machine = ScriptedMachine({(*pip, "list"): said(listed), (*pip, "get"): said("https://user.example\n")})
    assert python.probe_pip(machine, {}, "python3").index_url == "https://user.example"
    assert machine.runs[1:] == [(*pip, "get", "global.index-url")]


def test_without_pip_its_files_and_variables_are_read_in_its_order() -> None:
    machine = ScriptedMachine(
        {("python3", "-m", "pip"): said(stderr="/usr/bin/python3: No module named pip", rc=1)},
        {
            "/etc/pip.conf": b"[global]\nindex-url = https://system.example/simple\ncert = /system.crt\n",
            "/home/ada/.config/pip/pip.conf": b"[global]\nindex-url = https://user.example/simple\n",
            "/given.conf": b"this is not an ini file",
        },
    )
    environment = {"HOME": "/home/ada", "PIP_CONFIG_FILE": "/given.conf", "PIP_FIND_LINKS": "/wheels"}
    settings = python.probe_pip(machine, environment, "python3")
    assert (settings.state, settings.index_url, settings.cert) == (
        PipState.FILES,
        "https://user.example/simple",
        "/system.crt",
    )
    assert settings.find_links == ("/wheels",)


def test_a_pip_that_fails_is_not_a_pip_without_settings() -> None:
    machine = ScriptedMachine({("python3", "-m", "pip"): said(stderr="ERROR: Configuration file contains invalid", rc=1)})
    settings = python.probe_pip(machine, {}, "python3")
    assert settings.state is PipState.FAILED and "invalid" in settings.detail


def test_each_python_is_listed_once_and_the_named_one_first() -> None:
    machine = ScriptedMachine(
        {
            ("/opt/env/bin/python",): said(answer("3.12.4", "/opt/env", in_venv=True, torch="2.11.0+cu128")),
            ("python3",): said(answer("3.11.7", "/usr")),
            ("python3.11",): said(answer("3.11.7", "/usr")),
            ("python3.13",): said("Welcome!\nnot json\n"),
            ("python3.14",): ended(Outcome.TIMED_OUT),
        }
    )
    facts = python.probe(machine, {}, python="/opt/env/bin/python")
    assert [found.name for found in facts.interpreters] == ["/opt/env/bin/python", "python3"]
    assert [found.minor for found in facts.interpreters] == ["3.12", "3.11"]
    assert facts.interpreters[0].torch == "2.11.0+cu128" and facts.uv is None


def test_torch_wheels_are_found_in_local_folders_alone() -> None:
    listing = "\n".join(
        [
            "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
            "torch-2.10.0-3-cp312-cp312-manylinux_2_28_x86_64.whl",
            "torch-2.13.0+cu126-cp313-cp313t-manylinux_2_28_x86_64.whl",
            "torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_aarch64.whl",
            "torch-2.13.0-cp312-none-macosx_11_0_arm64.whl",
            "torchvision-0.28.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
            "README",
        ]
    )
    machine = ScriptedMachine(
        {
            ("python3", "-m", "pip"): said("global.find-links='https://wheels.example/ file:///wheels ~/gone'\n"),
            ("ls", "-1", "--", "/wheels"): said(listing),
            ("ls",): said(stderr="No such file", rc=2),
        }
    )
    facts = python.probe(machine, {"HOME": "/home/ada"})
    assert facts.torch_wheels == (
        TorchWheel("/wheels", listing.splitlines()[0], "2.13.0", "cpu", "3.11", "x86_64"),
        TorchWheel("/wheels", listing.splitlines()[1], "2.10.0", "", "3.12", "x86_64"),
        TorchWheel("/wheels", listing.splitlines()[3], "2.13.0", "cpu", "3.12", "aarch64"),
    )
    assert ("ls", "-1", "--", "/home/ada/gone") in machine.runs


@pytest.mark.parametrize(
    ("link", "folder"),
    [
        ("/a", "/a"),
        ("file:///a b", "/a b"),
        ("~", "/home/ada"),
        ("~/w", "/home/ada/w"),
        ("https://x/y", ""),
        ("relative", ""),
    ],
)
def test_which_find_links_are_folders(link: str, folder: str) -> None:
    assert python.local_folder(link, "/home/ada") == folder


def test_uv_on_path_or_where_it_is_said_to_be() -> None:
    machine = ScriptedMachine({("uv",): said("uv 0.8.3 (abc 2025)\n"), ("/given/uv",): said("uv 0.9.0\n")})
    assert python.probe(machine, {}).uv == python.Uv("uv", "0.8.3")
    assert python.probe(machine, {}, uv="/given/uv").uv == python.Uv("/given/uv", "0.9.0")


def test_this_very_python_is_read(tmp_path: Path) -> None:
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"")
    environment = {**os.environ, "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    facts = python.probe(LocalMachine(environment), environment, python=sys.executable)
    first = facts.interpreters[0]
    assert first.version.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.") and first.prefix == sys.prefix
    assert facts.pip.state in (PipState.READ, PipState.FILES)
    assert [wheel.folder for wheel in facts.torch_wheels] == [str(tmp_path)]
