"""The real pip, uv, apt, huggingface_hub and modelscope, using what was written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from provision.errors import StepFailed
from provision.files import Changes
from provision.machines.local import LocalMachine
from provision.mirrors.interface import Place, Verified
from provision.mirrors.settings import Wish, apply, plan, undo
from tests.conftest import REAL_ENVIRON
from tests.fakes.mirror_server import MirrorServer
from tests.files.test_changes import picture


def environ(home: Path, **more: str) -> dict[str, str]:
    """A person's shell: this Python first on PATH, an own home, nothing of the machine's pip."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "PIP_CONFIG_FILE": "", "LC_ALL": "C.UTF-8", **more}


def set_up(home: Path, tool: str, url: str, more: Mapping[str, str] | None = None) -> Verified:
    """Write the setting, ask the real tool, and return what it said."""
    home.mkdir(exist_ok=True)
    where = environ(home, **(more or {}))
    place, wishes = Place.of(where, "user"), (Wish(tool, (url,)),)
    done = apply(Changes(home.parent / "state"), LocalMachine(where), place, wishes, plan(place, wishes))
    return done.verified[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def run(argv: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=dict(env), capture_output=True, text=True, timeout=120, check=False)


def test_pip_says_the_index_and_downloads_from_it(home: Path, tmp_path: Path) -> None:
    with MirrorServer() as server:
        assert set_up(home, "pip", server.index).by == "pip config list"
        env = environ(home, PIP_CONSTRAINT="", PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "transformers",
            "-d",
            str(tmp_path),
        ]
        done = run(command, env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "transformers-4.57.1-py3-none-any.whl").is_file()
    assert any(agent.startswith("pip/") for _, agent in server.seen)


def test_uv_says_the_index_and_resolves_and_installs_from_it(home: Path, tmp_path: Path) -> None:
    import uv

    with MirrorServer(user="me:secret") as server:
        said = set_up(home, "uv", server.index)
        assert said.by == "uv pip compile --emit-index-url"
        target = str(tmp_path / "target")
        command = [uv.find_uv_bin(), "pip", "install", "--no-cache", "--target", target, "--python", sys.executable]
        done = run([*command, "transformers"], environ(home))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "transformers" / "__init__.py").is_file()
    assert any(agent.startswith("uv/") for _, agent in server.seen) and server.authorised


@pytest.mark.parametrize(
    ("tool", "url"), [("huggingface", "http://127.0.0.1:9"), ("modelscope", "https://hub.example.org")]
)
def test_the_hubs_own_clients_take_the_endpoint(home: Path, tool: str, url: str) -> None:
    said = set_up(home, tool, url)
    assert said.by and said.words in url


@pytest.mark.parametrize(
    "words", [["sh", "-lc"], ["bash", "-lc"], ["bash", "-ic"], ["zsh", "-c"], ["fish", "-c"]], ids=" ".join
)
def test_a_new_shell_of_every_kind_has_the_endpoint_and_the_undo_takes_it_back(home: Path, words: list[str]) -> None:
    shell = shutil.which(words[0])
    if not shell:
        if REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
            pytest.fail(f"{words[0]} is not here, and CI installs it")
        pytest.skip(f"{words[0]} is not on this machine")
    home.mkdir()
    (home / ".bashrc").write_text("case $- in *i*) ;; *) return;; esac\n")
    before = picture(home)
    set_up(home, "huggingface", "https://hf-mirror.com/$x&y", {"SHELL": shell})
    env = {**environ(home), "XDG_DATA_HOME": str(home.parent / "data"), "XDG_CACHE_HOME": str(home.parent / "cache")}
    asked = [shell, *words[1:], 'printf %s "$HF_ENDPOINT"']
    assert run(asked, env).stdout == "https://hf-mirror.com/$x&y"
    undo(Changes(home.parent / "state"), ["huggingface"], "user")
    assert run(asked, env).stdout == ""
    left = {
        name: kept for name, kept in picture(home).items() if not name.startswith(".config")
    }  # fish keeps its own there
    assert left == before and not list(home.rglob("*provision*"))


def test_what_stands_over_the_file_makes_pip_disagree_and_everything_is_taken_back(home: Path) -> None:
    """An environment's own pip.conf is read after the user's; only the real pip can tell."""
    home.mkdir()
    environment = home.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (environment / "pip.conf").write_text("[global]\nindex-url = https://company.example.org/simple\n")
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    first = picture(home)
    more = {"PATH": f"{environment}/bin:{os.environ['PATH']}", "PYTHONPATH": str(packages)}
    with pytest.raises(StepFailed) as caught:
        set_up(home, "pip", "https://m.example.org/simple", more)
    assert caught.value.name == "setting-not-in-force" and "company.example.org" in caught.value.context
    assert picture(home) == first


def test_npm_says_the_registry_sends_the_credentials_and_fetches_from_it(home: Path, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("npm is not on this machine; it is optional, and Debian's has 400 dependencies")
    home.mkdir()
    (home / ".npmrc").write_text("fund=false")
    with MirrorServer(user="me:s3cret") as server:
        assert set_up(home, "npm", f"{server.address}/npm").by == "npm config get registry"
        done = run([npm, "view", "typescript", "version", "--prefix", str(tmp_path)], environ(home))
    assert done.stdout.strip() == "5.9.3", done.stderr
    assert any(agent.startswith("npm/") for _, agent in server.seen)
    assert (home / ".npmrc").stat().st_mode & 0o777 == 0o600


def test_apt_reads_the_new_archive_and_fetches_its_lists(tmp_path: Path) -> None:
    if not shutil.which("apt-get"):
        pytest.skip("apt is not on this machine")
    root = tmp_path / "root"
    for folder in ("etc/apt/sources.list.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    (root / "etc/os-release").write_text('ID=debian\nHOME_URL="https://www.example.org/"\n')
    (root / "etc/apt/sources.list").write_text(
        "deb [arch=amd64 trusted=yes] http://deb.example.org/debian bookworm main\n"
        "deb [arch=amd64] http://third.example.com/debian bookworm main\n"
    )
    (root / "etc/apt/sources.list.d/d.sources").write_text(
        "Types: deb\nURIs: http://deb.example.org/debian\nSuites: bookworm-updates\nComponents: main\n"
    )
    with MirrorServer() as server:
        where = environ(tmp_path)
        place, wishes = Place("system", tmp_path, where, root), (Wish("apt", (server.address,)),)
        done = apply(Changes(tmp_path / "state"), LocalMachine(where), place, wishes, plan(place, wishes))
        assert done.verified[0].by == "apt-get update --print-uris"
        assert set(done.verified[0].words.split()) == {f"{server.address}/debian", "http://third.example.com/debian"}
        (root / "etc/apt/sources.list.d/d.sources").unlink()
        (root / "etc/apt/sources.list").write_text((root / "etc/apt/sources.list").read_text().splitlines()[0] + "\n")
        command = [
            "apt-get",
            f"-oDir={root}",
            "-oDir::Etc::trustedparts=/nonexistent",
            "-oAPT::Sandbox::User=root",
            "update",
        ]
        run([*command, "-oAPT::Architecture=amd64"], where)
    asked = [path for path, agent in server.seen if "APT-HTTP" in agent]
    assert "/debian/dists/bookworm/InRelease" in asked
