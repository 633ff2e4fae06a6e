"""Guards: no network but loopback, no writing in the real home, no ambient settings of hubs and proxies."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

AMBIENT = ("HF_", "MODELSCOPE_", "PROVISION_", "TRANSFORMERS_", "VLLM_", "SGLANG_", "CUDA_", "NVIDIA_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
REAL_ENVIRON = dict(os.environ)  # for the tests that set up real environments: they need the machine's own indexes

# No example is judged by a clock. CI judges the change, not the day's luck; new examples are found at home.
settings.register_profile("home", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if REAL_ENVIRON.get("CI") else "home")


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every test: an empty home, none of the machine's settings, and no socket that leaves it."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(AMBIENT) or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PROVISION_HOME", str(home / "provision"))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _is_loopback(address[0]):
            raise AssertionError(f"a test reached for {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    yield


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent
