"""What the docker client is told, so that one of any age understands it."""

from __future__ import annotations

import pytest

from provision.machines.engine import ContainerSettings
from provision.machines.terminal import run_arguments


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), "--gpus=all"),
        (("nvidia.com/gpu=all",), "--gpus=driver=cdi,device=nvidia.com/gpu=all"),
        (("nvidia.com/gpu=0", "nvidia.com/gpu=1"), '--gpus=driver=cdi,"device=nvidia.com/gpu=0,nvidia.com/gpu=1"'),
    ],
)
def test_gpus_are_asked_for_in_words_that_old_clients_take_too(names: tuple[str, ...], told: str) -> None:
    words = run_arguments(ContainerSettings("i", gpus=True, cdi=names), ["true"], "/work")
    assert told in words and not [word for word in words if word.startswith("--device")]
    [request] = ContainerSettings("i", gpus=True, cdi=names).arguments()["device_requests"]
    assert (request["Driver"], request["DeviceIDs"]) == (("cdi", list(names)) if names else ("", []))
