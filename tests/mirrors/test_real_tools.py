"""The real tools, using what was written: pip, uv, apt, npm, podman, containerd, buildx, the hubs and the shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
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
from tests.fakes.token_registry import token_registry
from tests.files.test_changes import picture

PLUGIN = "libexec/docker/cli-plugins/docker-buildx"
BUILDX = (Path("/usr") / PLUGIN, Path(__file__).parent.parent.parent / ".make/next/usr" / PLUGIN)


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
    needed(words[0])
    shell = str(shutil.which(words[0]))
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
    """An environment's own pip.conf stands over the user's where it speaks of `install`; only the real pip can tell."""
    home.mkdir()
    environment = home.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (environment / "pip.conf").write_text("[install]\nindex-url = https://company.example.org/simple\n")
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


def needed(*programs: str) -> None:
    """Skip where one is not here; fail in CI, which installs them."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing and REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
        pytest.fail(f"{missing} are not here, and CI installs them")
    if missing:
        pytest.skip(f"{missing} are not on this machine")


def test_podman_pulls_docker_images_from_the_mirror(
    home: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    needed("podman", "docker-registry")
    if os.geteuid() != 0:
        pytest.skip("podman without root needs subordinate ids, which a bare user has not")
    short = tmp_path_factory.mktemp("p")  # podman takes no path of more than 50 characters for it
    with token_registry(tmp_path) as real:
        digest = real.put("library/tiny", "1")
        more = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
        said = set_up(home, "podman", f"http://{real.host}", more)
        assert (said.by, said.words) == ("podman info", f"docker.io by way of {real.host}")
        storage = ["--root", str(tmp_path / "pod"), "--runroot", str(short), "--storage-driver", "vfs"]
        pulled = run(["podman", *storage, "pull", "docker.io/library/tiny:1"], environ(home, **more))
        assert pulled.returncode == 0, pulled.stderr
        found = run(["podman", *storage, "images", "--digests", "--format", "{{.Digest}}"], environ(home, **more))
    assert found.stdout.strip() == digest and real.granted


def test_containerd_pulls_docker_images_from_the_mirror(tmp_path: Path) -> None:
    """A containerd of the test's own, with its own folders and socket; nothing is run in it."""
    needed("containerd", "ctr", "docker-registry")
    if os.geteuid() != 0:
        pytest.skip("starting a containerd of our own needs root")
    root, state = tmp_path / "root", tmp_path / "s"
    certs = root / "etc/containerd/certs.d"
    certs.mkdir(parents=True)
    (root / "etc/containerd/config.toml").write_text(
        f"version = 2\nroot = '{tmp_path}/r'\nstate = '{state}'\ndisabled_plugins = []\n"
        f"[grpc]\naddress = '{tmp_path}/sock'\n"
        f"[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '{certs}'\n"
    )
    place = Place("system", tmp_path, environ(tmp_path), root)
    with token_registry(tmp_path) as real:
        digest = real.put("library/tiny", "1")
        wishes = (Wish("containerd", (f"http://{real.host}",)),)
        machine = LocalMachine(environ(tmp_path))
        done = apply(Changes(tmp_path / "changes"), machine, place, wishes, plan(place, wishes))
        assert done.verified[0].by == "containerd config dump" and real.host in done.verified[0].words
        quiet = f"{root}/quiet.toml"
        Path(quiet).write_text(
            f"version = 2\nroot = '{tmp_path}/r'\nstate = '{state}'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n"
            f"[grpc]\naddress = '{tmp_path}/sock'\n[ttrpc]\naddress = '{tmp_path}/ttrpc'\n"
        )
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(["containerd", "--config", quiet], stdout=log, stderr=log, env=REAL_ENVIRON)
        try:
            ctr = ["ctr", "--address", f"{tmp_path}/sock"]
            deadline = time.monotonic() + 30
            while run([*ctr, "version"], REAL_ENVIRON).returncode and time.monotonic() < deadline:
                time.sleep(0.2)
            name = "docker.io/library/tiny:1"
            pulled = run([*ctr, "content", "fetch", "--hosts-dir", str(certs), name], REAL_ENVIRON)
            assert pulled.returncode == 0, pulled.stderr + (tmp_path / "log").read_text()[-2000:]
            listed = run([*ctr, "images", "list"], REAL_ENVIRON).stdout
        finally:
            process.terminate()
            process.wait(30)
    assert name in listed and digest in listed


def test_buildx_reads_what_was_written_and_a_file_it_cannot_read_is_taken_back(home: Path) -> None:
    needed("docker")
    plugin = next((place for place in BUILDX if place.is_file()), None)
    if plugin is None:
        if REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
            pytest.fail("buildx is not here, and CI fetches it")
        pytest.skip("buildx is not on this machine: python tools/next_release.py docker-buildx .make/next")
    (home / ".docker/cli-plugins").mkdir(parents=True)
    (home / ".docker/cli-plugins/docker-buildx").symlink_to(plugin)
    assert set_up(home, "buildkit", "m.example.org/docker.io").by == "docker buildx create"
    path = home / ".config/buildkit/buildkitd.toml"
    path.write_text(path.read_text() + "[worker.oci]\nenabled = 'perhaps'\n")
    before = picture(home)
    with pytest.raises(StepFailed) as caught:
        set_up(home, "buildkit", "other.example.org/docker.io")
    assert caught.value.name == "setting-not-in-force" and picture(home) == before


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
