"""A home and a system full of settings as people really have them: changed for every tool at once, asked of the real tools,
and given back byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.errors import StepFailed
from provision.files import Changes
from provision.machines.local import LocalMachine
from provision.mirrors.interface import Place
from provision.mirrors.settings import Wish, apply, difference, plan, undo
from tests.fakes.machine import ScriptedMachine
from tests.files.test_changes import picture
from tests.mirrors.test_real_tools import environ

USER = {
    "pip": "https://m.example.org/simple",
    "uv": "https://m.example.org/simple",
    "conda": "https://m.example.org/anaconda",
    "docker": "https://m.example.org",
    "buildkit": "m.example.org/docker.io",
    "podman": "m.example.org/docker.io",
    "huggingface": "https://hf.example.org",
    "modelscope": "https://ms.example.org",
    "npm": "https://m.example.org/npm",
}
HOME = {  # name → bytes, mode
    ".config/pip/pip.conf": (
        b"; company\r\n[global]\r\nindex_url =\r\n  https://u:old@company/simple\r\ntimeout = 3",
        0o600,
    ),
    ".pip/pip.conf": (b"[global]\nindex-url = https://legacy.example.com/simple\n", 0o644),
    "dotfiles/uv.toml": (b"# mine\r\nnative-tls = true\r\n[pip]\r\ngenerate-hashes = true", 0o444),
    ".condarc": (b"\xef\xbb\xbfchannels:\n  - team # ours\ndefault_channels: &d\n- https://old\n", 0o640),
    ".config/docker/daemon.json": (b'{"debug":true,"runtimes":{"nvidia":{"path":"n"}}}', 0o600),
    ".config/buildkit/buildkitd.toml": (b'[registry."docker.io"]\n\tmirrors = [ "company" ] # ours\n', 0o644),
    ".config/containers/registries.conf": (b'unqualified-search-registries = ["docker.io"]\n', 0o644),
    ".npmrc": (
        b"\xef\xbb\xbf; ours\n@team:registry=https://team\n//team/:_authToken=${TOKEN}\nregistry=https://old",
        0o600,
    ),
    ".bashrc": (b"case $- in\n *i*) ;;\n *) return;;\nesac\n# caf\xe9", 0o755),
    ".bash_profile": (b"[ -f ~/.bashrc ] && . ~/.bashrc\r\n", 0o644),
    ".zshenv": (b"", 0o644),
    ".config/fish/config.fish": (b"set -gx A b\n", 0o644),
    ".config/powershell/profile.ps1": (b"\xef\xbb\xbf$env:A = 'b'\r\n", 0o644),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "a home"
    for name, (data, mode) in HOME.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    (home / ".config/uv").mkdir()
    (home / ".config/uv/uv.toml").symlink_to("../../dotfiles/uv.toml")
    return home


def test_every_tool_at_once_asked_of_the_real_ones_and_given_back(home: Path, tmp_path: Path) -> None:
    before, times = picture(home), {name: (home / name).stat().st_mtime_ns for name in HOME}
    where = environ(home)
    wishes = tuple(Wish(tool, (url,)) for tool, url in USER.items())
    place, changes = Place.of(where, "user"), Changes(tmp_path / "state")
    planned = plan(place, wishes)
    assert "u:old" not in difference(planned.edits)
    done = apply(changes, LocalMachine(where), place, wishes, planned)
    asked = {row.tool for row in done.verified if row.by}
    assert {"pip", "uv", "huggingface", "modelscope"} <= asked and {row.tool for row in done.verified} == set(USER)
    after = picture(home)
    assert (home / ".config/uv/uv.toml").is_symlink()
    assert all(after[name][1] == before[name][1] for name in before), "modes are kept"
    assert (
        b"\r\n" in (home / ".config/pip/pip.conf").read_bytes()
        and b"timeout = 3" in (home / ".config/pip/pip.conf").read_bytes()
    )
    assert b"caf\xe9" in (home / ".bashrc").read_bytes()
    assert plan(place, wishes).edits == ()
    undo(changes, None, None)
    assert picture(home) == before
    assert {name: (home / name).stat().st_mtime_ns for name in HOME} == times


@pytest.mark.parametrize(
    ("tool", "name", "text"),
    [
        ("docker", ".config/docker/daemon.json", b'{\n  // ours\n  "debug": true\n}\n'),
        ("docker", ".config/docker/daemon.json", b'\xef\xbb\xbf{"debug": true}\n'),
        ("docker", ".config/docker/daemon.json", b'{"debug": true, "debug": false}'),
        ("docker", ".config/docker/daemon.json", b'{"registry-mirrors": "https://one"}'),
        ("pip", ".config/pip/pip.conf", b"[global]\ntimeout = 3\n[global]\nretries = 3\n"),
        ("pip", ".config/pip/pip.conf", b"\xef\xbb\xbf[global]\ntimeout = 3\n"),
        ("pip", ".config/pip/pip.conf", b"timeout = 3\n"),
        ("conda", ".condarc", b"channels:\n\t- team\n"),
        ("conda", ".condarc", b"{channels: [team]}\n"),
        ("uv", ".config/uv/uv.toml", b"native-tls = yes\n"),
        ("uv", ".config/uv/uv.toml", b"index = 'https://one'\n"),
        ("buildkit", ".config/buildkit/buildkitd.toml", b"registry = 'docker.io'\n"),
    ],
)
def test_what_the_tool_itself_could_not_read_is_refused_with_its_place_and_left(
    tmp_path: Path, tool: str, name: str, text: bytes
) -> None:
    path = tmp_path / "home" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    with pytest.raises(StepFailed) as caught:
        plan(Place.of(environ(tmp_path / "home"), "user"), (Wish(tool, (USER[tool],)),))
    assert Path(name).name in caught.value.message and "mend it first" in caught.value.hint
    assert path.read_bytes() == text


def test_a_link_that_leads_nowhere_yet_is_followed_and_left_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "dotfiles").mkdir(parents=True)
    (home / ".condarc").symlink_to("dotfiles/condarc")
    before, changes = picture(home), Changes(tmp_path / "state")
    wishes, place = (Wish("conda", (USER["conda"],)),), Place.of(environ(home), "user")
    apply(changes, ScriptedMachine(), place, wishes, plan(place, wishes))
    assert (home / ".condarc").is_symlink() and (home / "dotfiles/condarc").is_file()
    undo(changes, None, None)
    assert picture(home) == before and (home / ".condarc").is_symlink()


UBUNTU = 'ID=ubuntu\nVERSION_CODENAME=noble\nHOME_URL="https://www.ubuntu.com/"\n'
SOURCES = b"""Types: deb deb-src
URIs: http://HOST/PATH/
Suites: noble noble-updates
Components: main universe
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg

# security stays with its own host
Types: deb
URIs: http://security.ubuntu.com/ubuntu
Suites: noble-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 http://HOST/PATH/
 -----END PGP PUBLIC KEY BLOCK-----
Enabled: yes
"""
THIRD = b"deb [signed-by=/k.gpg arch=arm64] https://ppa.launchpadcontent.net/a/b/ubuntu noble main\n"


@pytest.mark.parametrize(
    ("host", "path"),
    [("archive.ubuntu.com", "ubuntu"), ("cn.archive.ubuntu.com", "ubuntu"), ("ports.ubuntu.com", "ubuntu-ports")],
)
def test_ubuntu_of_any_architecture_keeps_its_path_and_third_parties_are_left_alone(
    tmp_path: Path, host: str, path: str
) -> None:
    root, home = tmp_path / "root", tmp_path / "home"
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    home.mkdir()
    (root / "etc/os-release").write_text(UBUNTU)
    text = SOURCES.replace(b"HOST", host.encode()).replace(b"PATH", path.encode())
    (root / "etc/apt/sources.list.d/ubuntu.sources").write_bytes(text)
    (root / "etc/apt/sources.list.d/ppa.list").write_bytes(THIRD)
    before, changes = picture(root), Changes(tmp_path / "state")
    place, wishes = Place("system", home, environ(home), root), (Wish("apt", ("https://m.example.org",)),)
    apply(changes, ScriptedMachine(), place, wishes, plan(place, wishes))
    changed = (root / "etc/apt/sources.list.d/ubuntu.sources").read_bytes()
    assert changed == text.replace(f"URIs: http://{host}/".encode(), b"URIs: https://m.example.org/", 1)
    assert (root / "etc/apt/sources.list.d/ppa.list").read_bytes() == THIRD
    undo(changes, None, None)
    assert picture(root) == before
