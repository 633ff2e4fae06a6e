"""An engine of the test's own, in a network of its own and on a small disk: full in a build, killed in a build."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from provision.errors import BuildFailed
from provision.machines.build_cache import ours
from provision.machines.building import Order
from provision.machines.engine import Engine, connect
from tests.engine.own_engine import BASE, CACHED, OwnEngine, needs_own_engine

pytestmark = [
    pytest.mark.slow,
    needs_own_engine,
]


@pytest.fixture(scope="module")
def own(engine: Engine, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    found = OwnEngine(tmp_path_factory.mktemp("own"))
    found.bring(engine, BASE)
    yield found
    found.kill()


def order(command: str) -> Order:
    dockerfile = f"FROM {BASE}\nRUN true\nRUN {command}\n"
    return Order({"Dockerfile": dockerfile.encode()}, "provision-test/own")


def test_a_disk_that_fills_in_a_build_is_told_and_the_next_build_goes_on(own: OwnEngine) -> None:
    engine = connect(own.environ, str(own.folder))
    with pytest.raises(BuildFailed) as caught:
        engine.build(order("dd if=/dev/zero of=/filled bs=1M count=1200"), print, print)
    assert "No space left on device" in caught.value.context and "dd if=/dev/zero" in caught.value.context
    assert engine._client.containers.list(all=True) == [] and engine.images() == []
    engine.build(order("echo small >/small"), print, print)
    assert len(engine.images()) == 1


def test_an_engine_killed_in_a_build_is_told_and_leaves_nothing(own: OwnEngine) -> None:
    engine = connect(own.environ, str(own.folder))

    def kill(line: str) -> None:
        if "RUN sleep" in line and own.process.poll() is None:
            own.kill()

    with pytest.raises(BuildFailed, match="went away") as caught:
        engine.build(order("sleep 60"), kill, print)
    assert caught.value.context
    again = own.start()
    assert again._client.containers.list(all=True) == []
    again.build(order("echo after >/after"), print, print)
    assert again.image("provision-test/own:latest")
    assert "image provision-test/own:latest" in again.remove_ours() and again.images() == []


def test_down_takes_our_build_cache_and_leaves_other_peoples(own: OwnEngine) -> None:
    engine = connect(own.environ, str(own.folder))
    for run_it in (f"{CACHED} echo ours >/var/cache/provision-uv/x", "RUN echo theirs"):
        dockerfile = f"FROM {BASE}\n{run_it} >/y\n"
        engine.build(Order({"Dockerfile": dockerfile.encode()}, "provision-test/own"), print, print)

    def records() -> list[dict[str, Any]]:
        return list(engine._client.api.df()["BuildCache"])

    [foreign] = [row["ID"] for row in records() if "exec /bin/sh -c echo theirs >/y" in row["Description"]]
    assert any("MB of build cache" in line for line in engine.remove_ours())
    assert ours(records()) == [] and foreign in {row["ID"] for row in records()}
