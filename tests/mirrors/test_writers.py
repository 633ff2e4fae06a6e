"""Each tool's settings: an awkward home and system, changed, told, and given back."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import ProvisionError, StepFailed, UnknownName, UsageError
from provision.files import Changes
from provision.mirrors.interface import MARK, Place
from provision.mirrors.settings import Wish, apply, difference, parse_wishes, plan, undo, wishes_of
from provision.mirrors.veil import veil
from provision.mirrors.writers import writers
from tests.fakes.machine import ScriptedMachine, said
from tests.files.test_changes import picture

SYSTEM = {"apt": "https://m.example.org", "containerd": "https://m.example.org/docker.io"}
USER = {
    "pip": "https://m.example.org/simple",
    "uv": "https://m.example.org/simple",
    "conda": "https://m.example.org/anaconda",
    "docker": "https://m.example.org",
    "buildkit": "m.daocloud.io/docker.io",
    "podman": "m.daocloud.io/docker.io",
    "huggingface": "https://hf-mirror.com",
    "modelscope": "https://www.modelscope.cn",
    "npm": "https://m.example.org/npm",
}
OS_RELEASE = 'ID=debian\nHOME_URL="https://www.example.org/"\nVERSION_CODENAME=bookworm\n'


def place(tmp_path: Path, scope: str = "user", environ: Mapping[str, str] | None = None) -> Place:
    home, root = tmp_path / "home", tmp_path / "root"
    home.mkdir(exist_ok=True)
    (root / "etc/apt").mkdir(parents=True, exist_ok=True)
    return Place(scope, home, environ or {}, root)  # type: ignore[arg-type]


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def written(where: Place, tool: str, url: str) -> dict[str, str]:
    """What the files of a plan would hold, by name."""
    return {edit.path.name: edit.data.decode() for edit in plan(where, (Wish(tool, (url,)),)).edits}


def test_every_tool_is_written_told_twice_and_given_back_on_an_empty_place(tmp_path: Path) -> None:
    put(tmp_path / "root/etc/os-release", OS_RELEASE)
    put(tmp_path / "root/etc/apt/sources.list", "deb http://deb.example.org/debian bookworm main\n")
    changes = Changes(tmp_path / "state")
    system = {tool: url for tool, url in {**SYSTEM, **USER}.items() if "system" in writers()[tool].SCOPES}
    for scope, wanted in (("user", USER), ("system", system)):
        where = place(tmp_path, scope)
        before = picture(tmp_path / "home"), picture(tmp_path / "root")
        wishes = tuple(Wish(tool, (url,)) for tool, url in wanted.items())
        planned = plan(where, wishes)
        assert {edit.tool for edit in planned.edits} >= set(wanted)
        done = apply(changes, ScriptedMachine(), where, wishes, planned)
        assert {row.tool for row in done.verified} == set(wanted) and not any(row.by for row in done.verified)
        assert plan(where, wishes).edits == ()
        undo(changes, None, None)
        assert (picture(tmp_path / "home"), picture(tmp_path / "root")) == before
    assert {*USER, *SYSTEM} == set(writers())


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(USER)),
    st.sampled_from(
        ["", "\n", "a = 1\n", "[global]\n", "{}", '{"a": [1]}', "a: 1\n", "[x\n", "\x00", "[index]\nurl='x'\n"]
    ),
)
def test_whatever_stood_there_is_refused_untouched_or_given_back(
    tmp_path_factory: pytest.TempPathFactory, tool: str, text: str
) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    where = place(tmp_path)
    for name in (
        ".config/pip/pip.conf",
        ".config/uv/uv.toml",
        ".condarc",
        ".config/docker/daemon.json",
        ".profile",
        ".npmrc",
    ):
        put(where.home / name, text)
    put(where.home / ".config/buildkit/buildkitd.toml", text).chmod(0o600)
    before = picture(where.home)
    changes = Changes(tmp_path / "state")
    wishes = (Wish(tool, (USER[tool],)),)
    try:
        apply(changes, ScriptedMachine(), where, wishes, plan(where, wishes))
    except StepFailed as error:
        assert error.name == "settings-unreadable" or "not a table" in error.message
        assert picture(where.home) == before
        return
    assert picture(where.home) != before
    undo(changes, [tool], "user")
    assert picture(where.home) == before


def test_npm_keeps_scopes_tokens_and_sections_and_puts_credentials_where_npm_takes_them(tmp_path: Path) -> None:
    where = place(tmp_path)
    text = "; mine\r\nregistry = https://old\r\n@team:registry=https://team\r\n//old/:_authToken=t0ken\r\nfund\r\n[x]\r\nregistry=1"
    file = where.home / ".npmrc"
    file.write_bytes(text.encode())
    (edit,) = plan(where, (Wish("npm", ("https://me:s3cret@m.example.org/npm",)),)).edits
    assert edit.data.decode() == text.replace("registry = https://old", "registry=https://m.example.org/npm/").replace(
        "[x]", "# " + MARK + "\r\n//m.example.org/npm/:_auth=bWU6czNjcmV0\r\n[x]"
    )
    assert edit.mode == 0o600 and "bWU6czNjcmV0" not in difference([edit]) and "t0ken" not in difference([edit])


def test_pip_leaves_everything_else_and_says_what_competes(tmp_path: Path) -> None:
    where = place(tmp_path)
    put(
        where.config / "pip/pip.conf",
        "[global]\nextra-index-url = https://a https://b\n[install]\nindex-url = https://old\n",
    )
    planned = plan(where, (Wish("pip", (USER["pip"],)),))
    (edit,) = planned.edits
    assert edit.data.decode().count(f"index-url = {USER['pip']}") == 2 and b"https://a https://b" in edit.data
    assert any("2 extra-index-url" in note for note in planned.notes)


def test_a_variable_that_stands_over_the_file_is_named(tmp_path: Path) -> None:
    where = place(tmp_path, environ={"PIP_INDEX_URL": "https://else"})
    assert any("PIP_INDEX_URL" in note for note in plan(where, (Wish("pip", (USER["pip"],)),)).notes)


@pytest.mark.parametrize(
    ("tool", "url"),
    [
        ("pip", "http://plain.example.org/simple"),
        ("pip", "ftp://x"),
        ("pip", "https://x\n[evil]"),
        ("uv", "no address"),
        ("docker", "m.daocloud.io/docker.io"),
        ("docker", "https://m.example.org/path"),
        ("docker", "https://u:p@m.example.org"),
        ("podman", "https://u:p@m.example.org"),
        ("torch", "https://m.example.org"),
        ("apt", "https://m.example.org"),
        ("nothing", "https://m.example.org"),
        ("pip", "https://x:port/"),
    ],
)
def test_an_address_that_a_tool_cannot_use_is_refused_with_a_reason(tmp_path: Path, tool: str, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(place(tmp_path), (Wish(tool, (url,)),))
    assert caught.value.hint or caught.value.message
    assert "u:p@" not in caught.value.message + caught.value.hint


def test_several_addresses_only_where_they_do_not_compete(tmp_path: Path) -> None:
    two = ("https://a.example.org", "https://b.example.org")
    with pytest.raises(UsageError, match="one address"):
        plan(place(tmp_path), (Wish("pip", two),))
    (edit,) = plan(place(tmp_path), (Wish("docker", two),)).edits
    assert json.loads(edit.data)["registry-mirrors"] == list(two)


def test_docker_puts_ours_first_and_keeps_theirs(tmp_path: Path) -> None:
    where = place(tmp_path, "system")
    text = (
        '{\n    "data-root": "/data",\n    "registry-mirrors": ["https://company.example.org/"],\n    "runtimes": {}\n}\n'
    )
    put(where.root / "etc/docker/daemon.json", text)
    changed = written(where, "docker", "https://m.example.org")["daemon.json"]
    assert list(json.loads(changed)) == ["data-root", "registry-mirrors", "runtimes"]
    assert json.loads(changed)["registry-mirrors"] == ["https://m.example.org", "https://company.example.org/"]
    assert written(where, "docker", "https://company.example.org") == {}


def test_uv_takes_the_place_of_a_default_index_and_keeps_comments(tmp_path: Path) -> None:
    where = place(tmp_path)
    first = '# ours\n[[index]]\nname = "torch"\nurl = "https://t" # explicit\nexplicit = true\n'
    text = first + '\n[[index]]\nurl = "https://o"\ndefault = true\n'
    put(where.config / "uv/uv.toml", text)
    changed = written(where, "uv", USER["uv"])["uv.toml"]
    assert changed == text.replace('"https://o"', f'"{USER["uv"]}" # set by provision mirrors')


@pytest.mark.parametrize(
    "text", ['index = [{url = "https://t", name = "t"}]\n', "[pip]\nno-cache = true\n", "native-tls = true"]
)
def test_uv_of_any_form_gets_one_default_index(tmp_path: Path, text: str) -> None:
    import tomlkit

    where = place(tmp_path)
    put(where.config / "uv/uv.toml", text)
    found = tomlkit.parse(written(where, "uv", USER["uv"])["uv.toml"]).unwrap()
    assert [row["url"] for row in found["index"] if row.get("default")] == [USER["uv"]]


def test_buildkit_and_containerd_merge_with_what_is_there(tmp_path: Path) -> None:
    import tomlkit

    where = place(tmp_path, "system")
    put(
        where.root / "etc/buildkit/buildkitd.toml",
        '# ci\n[worker.oci]\n  gc = true\n[registry."docker.io"]\n  mirrors = ["a"]\n',
    )
    put(
        where.root / "etc/containerd/certs.d/docker.io/hosts.toml",
        'server = "https://x"\n[host."https://a"]\n  skip_verify = true\n',
    )
    text = written(where, "buildkit", "http://m.example.org:5000")["buildkitd.toml"]
    found = tomlkit.parse(text).unwrap()
    assert found["registry"] == {
        "docker.io": {"mirrors": ["m.example.org:5000", "a"]},
        "m.example.org:5000": {"http": True},
    }
    assert found["worker"] == {"oci": {"gc": True}} and text.startswith("# ci\n")
    hosts = tomlkit.parse(written(where, "containerd", "m.daocloud.io/docker.io")["hosts.toml"]).unwrap()
    assert hosts["host"]["https://m.daocloud.io/v2/docker.io"] == {
        "capabilities": ["pull", "resolve"],
        "override_path": True,
    }
    assert hosts["host"]["https://a"] == {"skip_verify": True} and hosts["server"] == "https://x"


def test_conda_keeps_the_teams_own_channels(tmp_path: Path) -> None:
    where = place(tmp_path)
    put(where.home / ".condarc", "channels: [team]\ncustom_channels: {team: 'https://c.example.org'}\n")
    found = yaml.safe_load(written(where, "conda", USER["conda"])[".condarc"])
    assert found["custom_channels"] == {"team": "https://c.example.org", "conda-forge": f"{USER['conda']}/cloud"}
    assert found["channels"] == ["team"]


DEB822 = """\
# http://deb.example.org/debian stays in a comment
Types: deb
URIs: http://deb.example.org/debian/
  http://mirrors.aliyun.com/debian
# in between
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example.org/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: https://deb.nodes.example.com/node_20.x http://deb.example.org/other
Suites: nodistro
Signed-By: /usr/share/keyrings/node.gpg
"""
ONE_LINE = """\
# deb http://deb.example.org/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://deb.example.org/debian bookworm main # first
deb-src\thttps://ftp.cc.example.org/pub/debian/ bookworm main
deb cdrom:[Debian]/ bookworm main
deb http://third.example.com/debian bookworm main
"""


def test_apt_changes_the_distributions_own_archive_and_nothing_else(tmp_path: Path) -> None:
    where = place(tmp_path, "system")
    put(where.root / "etc/os-release", OS_RELEASE)
    put(where.root / "etc/apt/sources.list", ONE_LINE)
    put(where.root / "etc/apt/sources.list.d/debian.sources", DEB822)
    put(where.root / "etc/apt/sources.list.d/off.list.disabled", ONE_LINE)
    planned = plan(where, (Wish("apt", ("https://m.example.net/debian",)),))
    found = {edit.path.name: edit.data.decode() for edit in planned.edits}
    assert found["debian.sources"] == DEB822.replace(
        "URIs: http://deb.example.org/debian/\n  http://mirrors.aliyun.com/debian\n",
        "URIs: https://m.example.net/debian/\n  https://m.example.net/debian\n",
    )
    assert found["sources.list"] == ONE_LINE.replace(
        "signed-by=/x.gpg] http://deb.example.org/debian", "signed-by=/x.gpg] https://m.example.net/debian"
    ).replace("https://ftp.cc.example.org/pub/debian/", "https://m.example.net/debian/")
    assert set(found) == {"debian.sources", "sources.list"}
    assert any("security.example.org stays" in note for note in planned.notes)
    assert any("ca-certificates" in note for note in planned.notes)


def test_apt_without_a_source_of_the_distribution_is_refused(tmp_path: Path) -> None:
    where = place(tmp_path, "system")
    put(where.root / "etc/os-release", OS_RELEASE)
    put(where.root / "etc/apt/sources.list", "deb http://third.example.com/debian bookworm main\n")
    with pytest.raises(UsageError, match="own archive"):
        plan(where, (Wish("apt", ("https://m.example.net",)),))


def test_the_block_in_a_shells_own_file_goes_with_the_last_tool_that_needs_it(tmp_path: Path) -> None:
    where, changes = place(tmp_path), Changes(tmp_path / "state")
    profile = put(where.home / ".profile", "umask 022")
    for tool in ("huggingface", "modelscope"):
        wishes = (Wish(tool, (USER[tool],)),)
        apply(changes, ScriptedMachine(), where, wishes, plan(where, wishes))
    undo(changes, ["huggingface"], None)
    assert "provision mirrors" in profile.read_text()
    undo(changes, ["modelscope"], None)
    assert profile.read_text() == "umask 022" and list(picture(where.home)) == [".profile"]


def test_credentials_are_private_on_disk_and_never_shown(tmp_path: Path) -> None:
    where, changes = place(tmp_path), Changes(tmp_path / "state")
    put(where.config / "pip/pip.conf", "[global]\nproxy = http://u:oldsecret@proxy\npassword = hunter2\n")
    wishes = parse_wishes(["pip=https://me:newsecret@m.example.org/simple", "uv=https://me:newsecret@m.example.org/simple"])
    planned = plan(where, wishes)
    shown = difference(planned.edits)
    assert "https://***@m.example.org/simple" in shown
    apply(changes, ScriptedMachine(), where, wishes, planned)
    for name in ("pip/pip.conf", "uv/uv.toml"):
        assert stat.S_IMODE((where.config / name).stat().st_mode) == 0o600
        assert "newsecret" in (where.config / name).read_text()
    assert not {"oldsecret", "newsecret", "hunter2"} & set(shown.replace("@", " ").replace(":", " ").split())
    undo(changes, None, None)
    assert stat.S_IMODE((where.config / "pip/pip.conf").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "text",
    [
        "https://u:s3cret@host/x",
        "https://u:s3cret@s3cret@host/x",
        "password = s3cret",
        '"auth": "s3cret"',
        "HF_TOKEN=s3cret",
        "api-key: 's3cret'",
        "[host] access_token='s3cret'",
    ],
)
def test_the_veil_covers_every_secret(text: str) -> None:
    assert "s3cret" not in veil(text) and "***" in veil(text)


def test_the_veil_leaves_plain_words() -> None:
    text = "index-url = https://m.example.org/simple\nauthor: me\n# tokens and passwords are not here\n"
    assert veil(text) == text


def test_wishes_come_from_words_and_from_a_spec() -> None:
    assert parse_wishes(["docker=a", "docker=b", "pip=https://x?a=b"]) == (
        Wish("docker", ("a", "b")),
        Wish("pip", ("https://x?a=b",)),
    )
    assert wishes_of(
        {"pip": "inherit", "uv": "https://x", "torch": "https://t", "apt": "upstream", "settings": "user"}
    ) == (Wish("uv", ("https://x",)),)
    with pytest.raises(UsageError):
        parse_wishes(["pip"])


def test_undo_of_an_unknown_tool_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        undo(Changes(tmp_path / "state"), ["pipp"], None)


def test_a_home_that_is_not_named_is_no_users_place() -> None:
    with pytest.raises(ProvisionError, match="no HOME"):
        Place.of({}, "user")


def test_without_a_conda_its_files_are_merged_by_its_rule_and_what_stands_over_ours_is_found(tmp_path: Path) -> None:
    where = place(tmp_path)
    put(where.root / "etc/conda/.condarc", "default_channels: [https://company.example.org/main]\n")
    wishes = (Wish("conda", (USER["conda"],)),)
    changes = Changes(tmp_path / "state")
    done = apply(changes, ScriptedMachine(), where, wishes, plan(where, wishes))
    assert "begin with https://m.example.org/anaconda/pkgs/main" in done.verified[0].words and not done.verified[0].by
    undo(changes, None, None)
    system = place(tmp_path, "system")
    put(where.root / "etc/conda/condarc", "default_channels: [https://over.example.org/main]\n")
    before = picture(where.root)
    with pytest.raises(StepFailed, match="does not take"):
        apply(changes, ScriptedMachine(), system, wishes, plan(system, wishes))
    assert picture(where.root) == before


def test_podman_that_cannot_run_is_no_word_against_the_setting_but_one_that_cannot_read_it_is(tmp_path: Path) -> None:
    where = place(tmp_path)
    wishes = (Wish("podman", (USER["podman"],)),)

    def failing(words: str) -> ScriptedMachine:
        return ScriptedMachine({("podman", "--version"): said("4.3.1"), ("env",): said(rc=125, stderr=words)})

    changes = Changes(tmp_path / "state")
    done = apply(changes, failing("cannot clone: Operation not permitted"), where, wishes, plan(where, wishes))
    assert done.verified[0].words == "podman does not run here: cannot clone: Operation not permitted"
    undo(changes, None, None)
    with pytest.raises(StepFailed):
        apply(changes, failing("loading registries configuration: bad TOML"), where, wishes, plan(where, wishes))
