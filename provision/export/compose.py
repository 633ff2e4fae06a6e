"""For Docker Compose: https://github.com/compose-spec/compose-spec (v2; it needs no `version`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from provision.export.handover import HUB_PORT, WORK, Handover
from provision.machines.engine import ContainerSettings

HEAD = """# The ready environment, its check suite and the hub, for Docker Compose; the image is `provision image build`'s.
#   docker compose run --rm checks                 prove it
#   docker compose run --rm environment python     work in it
#   docker compose up -d hub                       serve the store to other machines, on port {port}
# On a machine with GPUs: environment-gpu and checks-gpu.
# A variable without a value is passed on from your shell, where it is set: eval "$(provision export env)"
"""
HUB_ALIVE = f"import socket; socket.create_connection(('127.0.0.1', {HUB_PORT}), 5)"


def compose(handover: Handover) -> str:
    """Return a compose file: services with and without GPUs, each run as `provision up` and `provision run` would."""
    with_gpus, without = replace(handover, gpus=True), replace(handover, gpus=False)
    services = {
        "environment": {**service(without.environment()), "working_dir": WORK, "stdin_open": True, "tty": True},
        "environment-gpu": {**service(with_gpus.environment()), "working_dir": WORK, "stdin_open": True, "tty": True},
        "checks": {**service(without.checks()), "command": without.check_command()},
        "checks-gpu": {**service(with_gpus.checks()), "command": with_gpus.check_command()},
        "hub": {
            **service(handover.hub()),
            "command": handover.hub_command(),
            "ports": [f"{HUB_PORT}:{HUB_PORT}"],
            "restart": "unless-stopped",
            "healthcheck": {"test": ["CMD", "python", "-c", HUB_ALIVE], "interval": "10s", "timeout": "10s"},
        },
    }
    for name, each in services.items():
        if name != "hub":
            each["profiles"] = [name]  # nothing but the hub is started by a bare `docker compose up`
    text = yaml.safe_dump({"name": "provision", "services": services}, sort_keys=False, width=1000, allow_unicode=True)
    return HEAD.format(port=HUB_PORT) + text


def service(settings: ContainerSettings) -> dict[str, Any]:
    """Return a service that runs exactly as the engine is asked to by `settings`."""
    given = settings.arguments()
    found = {
        "image": given["image"],
        "init": given["init"],
        "user": given["user"],
        "read_only": given["read_only"],
        "cap_drop": given["cap_drop"],
        "security_opt": given["security_opt"],
        "shm_size": given["shm_size"],
        "tmpfs": [f"{target}:{options}" for target, options in given["tmpfs"].items()],
        "network_mode": given["network_mode"],
        "environment": {**given["environment"], **dict.fromkeys(settings.passed)},
        "volumes": [_volume(source, to) for source, to in given["volumes"].items()],
    }
    if given["device_requests"]:
        found["deploy"] = {"resources": {"reservations": {"devices": [_device(each) for each in given["device_requests"]]}}}
    return found


def _volume(source: str, to: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": to["bind"], "read_only": to["mode"] == "ro"}


def _device(request: Mapping[str, Any]) -> dict[str, Any]:
    if request["DeviceIDs"]:
        return {"driver": request["Driver"], "device_ids": request["DeviceIDs"], "capabilities": ["gpu"]}
    count = "all" if request["Count"] == -1 else request["Count"]
    return {"driver": "nvidia", "count": count, "capabilities": request["Capabilities"][0]}
