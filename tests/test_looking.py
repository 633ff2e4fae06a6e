"""What is looked at from this side: the clock of a source, by what it sends along with its bytes."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from provision.looking import clock_skew
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef
from tests.fakes.faulty_hub import FaultyHub, Repo

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("headers", "skew"),
    [
        ({"date": formatdate(NOW, usegmt=True)}, 0),
        ({"date": formatdate(NOW - 86_400, usegmt=True)}, 86_400),
        ({"date": formatdate(NOW + 3_600, usegmt=True)}, -3_600),
        ({"date": formatdate(NOW - 500, usegmt=True), "age": "500"}, 0),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_how_far_this_clock_is_ahead_of_a_servers(headers: dict[str, str], skew: float | None) -> None:
    assert clock_skew(headers, NOW) == skew


def test_a_hub_on_this_machine_has_its_clock() -> None:
    with FaultyHub({"org/name": Repo({"config.json": b"{}"})}) as hub:
        source = HuggingFaceSource(hub.url)
        manifest = source.manifest(ModelRef("org/name"))
        stream = source.open(manifest, manifest.files[0])
        skew = clock_skew(stream.headers, time.time())
        stream.close()
        source.close()
    assert skew is not None and abs(skew) < 5
