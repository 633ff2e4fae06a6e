"""The registry: names taken apart as engines do, tokens from a real registry's challenge, digests that are checked."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from provision.http import Http
from provision.mirrors.measuring.wire import Wire, transport
from provision.registry import Name, digest, manifest, parse_name, token_address
from provision.sources.interface import SourceError
from tests.conftest import REAL_ENVIRON
from tests.fakes.registry import registry
from tests.fakes.token_registry import PROGRAM, TokenRegistry, token_registry


def wire(host: str) -> Wire:
    return Wire(Http(transport({}), "registry"), f"http://{host}", "test", time.monotonic() + 20)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    if not PROGRAM and not REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
        pytest.skip("there is no docker-registry here: apt-get install docker-registry")
    with token_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("debian:bookworm-slim", ("registry-1.docker.io", "library/debian", "bookworm-slim")),
        ("nvidia/cuda:12.8.1-devel-ubuntu24.04", ("registry-1.docker.io", "nvidia/cuda", "12.8.1-devel-ubuntu24.04")),
        ("m.daocloud.io/docker.io/nvidia/cuda:1", ("m.daocloud.io", "docker.io/nvidia/cuda", "1")),
        ("localhost/x", ("localhost", "x", "latest")),
        ("127.0.0.1:5000/team/base:1", ("127.0.0.1:5000", "team/base", "1")),
    ],
)
def test_a_name_is_taken_apart_as_the_engines_do(reference: str, parts: tuple[str, str, str]) -> None:
    name = parse_name(reference)
    assert (name.host, name.repository, name.tag) == parts
    assert name.address.startswith("http://" if parts[0].startswith(("localhost", "127.")) else "https://")


def test_a_challenge_says_where_a_token_is_to_be_had() -> None:
    told = 'Bearer realm="https://auth.example/token?x=1",service="registry.example",scope="repository:a/b:pull"'
    assert token_address(told) == "https://auth.example/token?x=1&service=registry.example&scope=repository%3Aa%2Fb%3Apull"
    assert token_address('Basic realm="x"') == token_address("Bearer nothing") == ""


def test_a_real_registry_gives_the_digest_for_a_token_of_its_own_scope(real: TokenRegistry) -> None:
    pushed = real.put("nvidia/cuda", "12.8.1-devel-ubuntu24.04")
    real.granted.clear()
    asker = wire(real.host)
    name = Name(real.host, "nvidia/cuda", "12.8.1-devel-ubuntu24.04")
    assert digest(asker, name) == pushed and real.granted == ["repository:nvidia/cuda:pull"]
    found = manifest(asker, f"{name.address}/{pushed}")
    assert found.digest == pushed and found.content["layers"] and len(real.granted) == 1  # one token serves both


def test_a_tag_that_a_real_registry_does_not_have_is_a_refusal(real: TokenRegistry) -> None:
    real.put("nvidia/cuda", "some")
    with pytest.raises(SourceError) as caught:
        digest(wire(real.host), Name(real.host, "nvidia/cuda", "gone"))
    assert caught.value.name == "not-there"


def test_other_bytes_than_were_announced_are_refused() -> None:
    with registry("team/base") as served:
        name = parse_name(served.reference)
        assert digest(wire(name.host), name) == served.digest
        served.digest_told = "sha256:" + "0" * 64
        with pytest.raises(SourceError) as caught:
            digest(wire(name.host), name)
    assert caught.value.name == "digest-differs"
