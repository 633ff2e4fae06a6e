"""Mirrors in every mood, on loopback: who serves, who is refused and why, and what is asked of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import StepFailed
from provision.machines.local import LocalMachine
from provision.mirrors.catalogue import Mirror, catalogue
from provision.mirrors.choosing import Present, candidates, chosen, inherited, needs_of
from provision.mirrors.measuring import Candidate, Measurement, Needs, best, judge, load, measure, ranked, save
from provision.mirrors.measuring.measure import AGENTS
from provision.mirrors.settings import Wish
from provision.sources.interface import ModelRef
from provision.spec import load as load_spec
from tests.conftest import REAL_ENVIRON
from tests.fakes.mirror_server import MirrorServer, dead, self_signed
from tests.fakes.token_registry import PROGRAM, token_registry

NEEDS = Needs(model=ModelRef("org/name"))
BASE = {
    "huggingface": "",
    "modelscope": "",
    "apt": "",
    "docker": "",
    "pip": "/simple",
    "uv": "/simple",
    "conda": "/anaconda",
    "npm": "/npm",
}
KIND = {"pip": "index", "uv": "index"}


def candidate(tool: str, address: str) -> Candidate:
    return Candidate(Mirror(tool, address + BASE[tool], KIND.get(tool, "root"), "any", "M", "test", "2026-11"))


def measured(tool: str, servers: Sequence[MirrorServer | str]) -> tuple[Measurement, ...]:
    addresses = [server if isinstance(server, str) else server.address for server in servers]
    return measure([candidate(tool, address) for address in addresses], NEEDS, {})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines short enough for a test; the code is the same."""
    from provision.mirrors.measuring import wire

    monkeypatch.setattr(wire, "CONNECT", 1.0)
    monkeypatch.setattr(wire, "STALL", 1.0)
    monkeypatch.setattr(wire, "SAMPLE_SECONDS", 0.6)


def test_every_mood_gets_its_own_verdict_and_the_quickest_honest_one_wins() -> None:
    moods = {
        "well": "",
        "slow": "",
        "lying": "sha256-differs",
        "stale": "stale",
        "captive": "login-page",
        "firewall": "refused-403",
        "limited": "rate-limited",
        "short": "sha256-differs",
        "mute": "source-stalled",
        "blackhole": "source-stalled",
        "dribbling": "too-slow",
    }
    with ExitStack() as stack:
        servers = [stack.enter_context(MirrorServer(mood=mood)) for mood in moods]
        gone = stack.enter_context(dead())
        rows = measured("pip", [*servers, gone])
    assert [row.refusal for row in rows] == [*moods.values(), "host-unreachable"]
    assert all(row.reason for row in rows if not row.serves)
    assert [row.url for row in ranked(rows)][:2] == [servers[0].index, servers[1].index]
    winner = best(rows, "pip")
    assert winner and winner.url == servers[0].index and winner.is_verified and winner.label == "4.57.1"
    assert rows[1].rate < winner.rate and not rows[1].is_verified


@pytest.mark.parametrize("tool", ["pip", "uv", "huggingface", "modelscope", "apt", "docker", "conda", "npm"])
def test_each_tool_fetches_what_it_needs_as_its_own_client(tool: str) -> None:
    with MirrorServer() as server:
        (row,) = measured(tool, [server])
    assert row.serves and row.received == row.size > 0, row
    assert row.is_verified == (tool not in ("conda", "npm"))
    agents = {agent for _, agent in server.seen}
    assert agents == {AGENTS[tool]}
    assert not server.authorised


def test_the_torch_wheel_of_the_resolution_is_looked_for_by_tag_python_and_platform() -> None:
    needs = replace(NEEDS, torch="2.9.1", wheel_tag="cu128", python="3.12")
    with MirrorServer() as server:
        row = measure([Candidate(Mirror("torch", f"{server.address}/whl", "index", "any", "", "", ""))], needs, {})[0]
    wheel = "/packages/torch-2.9.1%2Bcu128-cp312-cp312-manylinux_2_28_x86_64.whl"
    assert row.refusal == "not-there" and [path for path, _ in server.seen] == ["/whl/cu128/torch/", wheel]
    needs = replace(needs, torch="2.9.0")
    with MirrorServer() as server:
        row = measure([Candidate(Mirror("torch", f"{server.address}/whl", "find-links", "any", "", "", ""))], needs, {})[0]
    assert "no wheel of torch that fits" in row.reason and [path for path, _ in server.seen] == ["/whl/cu128/"]


def test_a_listing_that_pip_would_skip_is_refused() -> None:
    with MirrorServer(tells_type=False) as server:
        assert measured("pip", [server])[0].refusal == "not-an-index"


def test_a_redirect_is_followed_to_the_host_that_sends_and_every_hop_is_told() -> None:
    with MirrorServer() as other, MirrorServer(redirect=other.address) as server:
        (row,) = measured("pip", [server])
        host, there = server.address.partition("//")[2], other.address.partition("//")[2]
    assert row.serves and row.host == there and row.way == (f"{host} 302", f"{there} 200")


def test_a_redirect_that_huggingface_hub_would_not_survive_is_refused_by_its_status() -> None:
    with MirrorServer() as other:
        with MirrorServer(redirect=other.address, redirect_status=308, tells_commit=False) as server:
            (row,) = measured("huggingface", [server])
        assert row.refusal == "redirect-308" and "LocalEntryNotFoundError" in row.reason
        with MirrorServer(redirect=other.address) as server:
            assert measured("huggingface", [server])[0].serves


def test_a_circle_of_redirects_ends() -> None:
    server = MirrorServer()
    with server:
        server.redirect = server.address
        assert measured("pip", [server])[0].refusal == "redirect-loop"


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    with MirrorServer(tls=self_signed()) as server:
        assert measured("pip", [server])[0].refusal == "tls-untrusted"


def test_credentials_go_to_the_mirror_and_not_where_it_redirects(tmp_path: Path) -> None:
    with MirrorServer() as other, MirrorServer(user="me:secret", redirect=other.address) as server:
        rows = measured("pip", [server])
    assert rows[0].serves and server.authorised and not other.authorised
    save(tmp_path / "kept.json", rows)
    assert "secret" not in (tmp_path / "kept.json").read_text()


def test_a_mirror_behind_the_others_is_stale_by_the_date_of_its_release_file() -> None:
    with MirrorServer() as server, MirrorServer(dated="Fri, 20 Nov 2026 08:00:00 UTC") as behind:
        rows = measured("apt", [server, behind])
    assert [row.refusal for row in rows] == ["", "stale"] and "20 Nov" in rows[1].reason


def test_without_hashes_the_one_whose_bytes_differ_from_most_is_found_out() -> None:
    with ExitStack() as stack:
        honest = [stack.enter_context(MirrorServer(is_hashed=False)) for _ in range(2)]
        liar = stack.enter_context(MirrorServer(mood="lying", is_hashed=False))
        rows = measured("pip", [liar, *honest])
        pair = measured("pip", [liar, honest[0]])
    assert [row.refusal for row in rows] == ["bytes-differ", "", ""]
    assert [row.refusal for row in pair] == ["bytes-disputed", "bytes-disputed"]


def test_no_more_is_fetched_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from provision.mirrors.measuring import wire

    monkeypatch.setattr(wire, "SAMPLE_LIMIT", 1 << 17)
    with MirrorServer(filling=2_000_000) as server:
        (row,) = measured("pip", [server])
    assert row.serves and row.received < (1 << 17) + (1 << 16) and row.size > 2_000_000


def test_many_silent_mirrors_are_waited_for_together() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(MirrorServer(mood="blackhole")) for _ in range(8)]
        began = time.monotonic()
        rows = measured("pip", servers)
        waited = time.monotonic() - began
    assert {row.refusal for row in rows} == {"source-stalled"} and waited < 8 * 1.0


def row(tool: str = "pip", **said: object) -> Measurement:
    return replace(Measurement(tool, "u", host="h", artefact="a", rate=1e6, received=10, size=10), **said)  # type: ignore[arg-type]


def test_judging_leaves_refused_rows_out_of_every_comparison() -> None:
    refused = row(url="r", version=(9,), refusal="login-page")
    assert judge([row(version=(1,)), refused])[0].serves
    assert judge([row(version=(1,)), row("uv", version=(2,))])[0].serves


def test_what_the_machine_is_set_to_and_works_is_kept_before_a_quicker_one() -> None:
    mine, quick = row(url="mine", origin="inherited", rate=1e3), row(url="quick")
    assert chosen([quick, mine], ["pip"]) == ((), ("pip: keeps mine, which serves",))
    assert chosen([quick, replace(mine, refusal="stale")], ["pip"]) == ((Wish("pip", ("quick",)),), ())


def test_a_default_that_nobody_chose_has_to_be_the_quickest() -> None:
    default, quick = row(url="default", origin="default", rate=1e3), row(url="quick")
    assert chosen([quick, default], ["pip"])[0] == (Wish("pip", ("quick",)),)
    wishes, kept = chosen([replace(quick, rate=10.0), default], ["pip"])
    assert wishes == () and "its default" in kept[0]


def test_what_each_tool_asks_now_is_found_in_its_own_words(tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "HF_ENDPOINT": "https://hub.example.org/", "PIP_CONFIG_FILE": ""}
    for name, text in {
        ".condarc": "default_channels: [https://m.example.org/anaconda/pkgs/main]\n",
        ".config/uv/uv.toml": "[[index]]\nurl = 'https://m.example.org/simple'\ndefault = true\n",
        ".config/pip/pip.conf": "[global]\nindex-url = https://pip.example.org/simple\n",
        ".config/buildkit/buildkitd.toml": "[registry.'docker.io']\nmirrors = ['m.example.org/docker.io']\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    tools = ["pip", "uv", "conda", "buildkit", "huggingface", "modelscope", "torch"]
    found = inherited(LocalMachine(environ), environ, tools)
    assert {tool: present.url for tool, present in found.items()} == {
        "pip": "https://pip.example.org/simple",
        "uv": "https://m.example.org/simple",
        "conda": "https://m.example.org/anaconda",
        "buildkit": "m.example.org/docker.io",
        "huggingface": "https://hub.example.org",
    }
    assert not any(present.is_default for present in found.values())


def test_where_nobody_serves_every_reason_is_told_without_secrets() -> None:
    with pytest.raises(StepFailed) as caught:
        chosen([row(url="https://u:secret@h/", refusal="stale", reason="old")], ["pip"])
    assert "old" in caught.value.context and "secret" not in caught.value.context


def test_a_memory_has_an_age_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "kept.json"
    assert load(path) is None
    save(path, [row()], now=1000.0)
    assert load(path, now=1060.0) == ((row(),), 60.0)
    assert load(path, now=900.0) is None
    path.write_text("{")
    assert load(path) is None


def test_a_region_narrows_the_catalogue_only_where_it_is_named() -> None:
    rows = catalogue()
    regions = {
        region: {found.mirror.region for found in candidates(rows, ["huggingface"], (), {}, region)}
        for region in ("auto", "cn", "global")
    }
    assert regions == {"auto": {"cn", "global"}, "cn": {"cn"}, "global": {"global"}}


def test_what_is_given_is_measured_alone_and_what_is_set_already_first() -> None:
    rows = catalogue()
    given = candidates(rows, ["pip"], (Wish("pip", ("https://x/simple",)),), {"pip": Present("https://mine")}, "auto")
    assert [(found.mirror.url, found.mirror.kind, found.origin) for found in given] == [
        ("https://x/simple", "index", "--set")
    ]
    found = candidates(rows, ["pip"], (), {"pip": Present(rows[0].url)}, "auto")
    assert found[0].origin == "inherited" and [one.mirror.url for one in found].count(rows[0].url) == 1


def test_what_is_needed_is_the_specs_model_and_this_distributions_lists() -> None:
    needs = needs_of(load_spec(profile="qwen3-0.6b"), {"ID": "ubuntu", "VERSION_CODENAME": "noble"}, "aarch64", None)
    assert needs.model.repo == "Qwen/Qwen3-0.6B"
    assert (needs.distribution, needs.codename, needs.architecture) == ("ubuntu", "noble", "arm64")
    assert needs_of(load_spec(profile="smoke"), {}, "x86_64", None).model == Needs().model


@pytest.mark.parametrize(
    ("base", "image"),
    [
        ("auto", ("library/debian", "bookworm-slim")),
        ("nvidia/cuda:12.8.1-base-ubuntu24.04", ("nvidia/cuda", "12.8.1-base-ubuntu24.04")),
        ("ubuntu@sha256:abc", ("library/ubuntu", "sha256:abc")),
        ("debian", ("library/debian", "latest")),
        ("registry.example.org/team/base:1", ("library/debian", "bookworm-slim")),
    ],
)
def test_the_image_that_is_needed_is_the_specs_where_docker_io_has_it(base: str, image: tuple[str, str]) -> None:
    needs = needs_of(load_spec(flags={"image.base": base}), {}, "x86_64", None)
    assert (needs.image, needs.image_tag) == image


def test_neither_credentials_nor_token_go_to_another_host() -> None:
    """The registry is one host; tokens come from a second, and the layer's bytes from a third."""
    with MirrorServer() as bytes_from, MirrorServer() as tokens, MirrorServer(redirect=bytes_from.address) as mirror:
        tokens.answers["/token"] = json.dumps({"token": "t0ken"}).encode()
        mirror.wants_token = f"{tokens.address}/token"
        (row,) = measured("docker", [mirror])
    assert row.serves and len(row.way) == 2, row
    assert set(mirror.authorised) == {"Bearer t0ken"} and not tokens.authorised and not bytes_from.authorised
    assert [path for path, _ in tokens.seen] == ["/token?service=s&scope=repository%3Alibrary%2Fdebian%3Apull"]


@pytest.mark.parametrize("answer", [b"{}", b'{"token": "a\\nb"}', b"<html>sign in</html>", b"[]"])
def test_what_is_no_token_is_never_sent(answer: bytes) -> None:
    with MirrorServer() as tokens, MirrorServer() as mirror:
        tokens.answers["/token"] = answer
        mirror.wants_token = f"{tokens.address}/token"
        (row,) = measured("docker", [mirror])
    assert not row.serves and row.refusal in ("listing-cut", "login-page") and not mirror.authorised


def test_a_layer_is_measured_at_a_real_registry_that_wants_tokens(tmp_path: Path) -> None:
    if not PROGRAM and not REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
        pytest.skip("there is no docker-registry here: apt-get install docker-registry")
    with token_registry(tmp_path) as real:
        real.put("library/tiny", "1")
        mirror = Mirror("docker", f"http://{real.host}", "root", "any", "", "", "")
        (row,) = measure([Candidate(mirror)], Needs(image="library/tiny", image_tag="1"), {})
    assert row.serves and row.is_verified and row.received == row.size > 500_000 and len(real.granted) == 1, row
