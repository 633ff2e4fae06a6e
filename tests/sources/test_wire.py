"""Below HTTP: name servers that never answer and hosts of many dead addresses, in a network namespace of the test's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from provision.wire import lookup

ROOT = Path(__file__).parents[2]
NAMESPACE = ("unshare", "--mount", "--net")
BEGIN = """
import socket, subprocess, sys
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef, SourceError
from provision.wire import Transport

def instead_of(path, text):
    with open(path.replace("/", "_"), "w") as own:
        own.write(text)
    subprocess.run(["mount", "--bind", own.name, path], check=True)

def ask(url):
    try:
        HuggingFaceSource(url, transport=Transport(connect=2.0, stall=2.0)).manifest(ModelRef("org/model"))
    except SourceError as error:
        print(error.name, error.context)

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
"""
SILENT = """
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
instead_of("/etc/resolv.conf", "nameserver 127.0.0.1\\noptions timeout:30 attempts:5\\n")
instead_of("/etc/hosts", "127.0.0.1 localhost\\n")
ask("http://hub.example")
"""
DEAD = """
import http.server, threading
instead_of("/etc/hosts", "".join(f"127.0.0.{n} hub.example\\n" for n in range(2, 10)))
full = []
for n in range(2, 9):  # a queue that is full lets no further caller in: like an address that drops what it is sent
    full += [socket.socket() for _ in range(4)]
    full[-1].bind((f"127.0.0.{n}", 8080))
    full[-1].listen(0)
    for caller in full[-4:-1]:
        caller.setblocking(False)
        caller.connect_ex((f"127.0.0.{n}", 8080))
live = http.server.HTTPServer(("127.0.0.9", 8080), http.server.BaseHTTPRequestHandler)
threading.Thread(target=live.serve_forever, daemon=True).start()
ask("http://hub.example:8080")
"""


def in_a_namespace(script: str, folder: Path) -> str:
    """Run a script where the network is its own and empty; return what it printed."""
    argv = [*NAMESPACE, sys.executable, "-c", BEGIN + script]
    done = subprocess.run(
        argv, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_a_namespace = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="a network namespace of our own takes root, unshare and ip",
)


@needs_a_namespace
def test_a_name_server_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    assert in_a_namespace(SILENT, tmp_path).startswith("host-unknown ")


@needs_a_namespace
def test_one_live_address_among_dead_ones_is_found_in_time(tmp_path: Path) -> None:
    assert "HTTP 501" in in_a_namespace(DEAD, tmp_path)


def test_lookup_gives_addresses_or_the_resolvers_own_error() -> None:
    assert "127.0.0.1" in lookup("localhost", 80, 5.0)
    assert lookup("[::1]", 80, 5.0) == ["::1"]
    with pytest.raises(socket.gaierror):
        lookup("x" * 300 + ".example", 80, 5.0)
