"""Which engine is meant: the variables, docker's contexts, the sockets; and what ssh says where it does not lead there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from provision.errors import EngineUnreachable
from provision.machines.endpoint import DEFAULT, Tls, endpoint
from provision.machines.engine import connect
from provision.machines.tunnel import Tunnel


def context(home: Path, name: str, host: str, *, current: bool = False, tls: bool = False, **more: Any) -> None:
    """Write a context as the docker client keeps it."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    folder = home / ".docker" / "contexts"
    (folder / "meta" / digest).mkdir(parents=True)
    told = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False, **more}}}
    (folder / "meta" / digest / "meta.json").write_text(json.dumps(told))
    if current:
        (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}))
    if tls:
        (folder / "tls" / digest / "docker").mkdir(parents=True)


def test_docker_host_goes_before_every_context(tmp_path: Path) -> None:
    context(tmp_path, "gpu7", "ssh://ada@gpu7", current=True)
    found = endpoint({"HOME": str(tmp_path), "DOCKER_HOST": "tcp://there:2375", "DOCKER_CONTEXT": "gpu7"})
    assert (found.host, found.origin, found.remote, found.tls) == ("tcp://there:2375", "DOCKER_HOST", True, None)


def test_docker_host_speaks_tls_where_the_clients_variables_say_so(tmp_path: Path) -> None:
    there = {"HOME": str(tmp_path), "DOCKER_HOST": "tcp://there:2376"}
    assert endpoint({**there, "DOCKER_CERT_PATH": "/c"}).tls is None  # the folder alone asks for nothing
    assert endpoint({**there, "DOCKER_CERT_PATH": "/c", "DOCKER_TLS_VERIFY": "1"}).tls == Tls(Path("/c"))
    assert endpoint({**there, "DOCKER_TLS_VERIFY": "1"}).tls == Tls(tmp_path / ".docker")
    assert endpoint({**there, "DOCKER_TLS": "1", "DOCKER_TLS_VERIFY": ""}).tls == Tls(tmp_path / ".docker", verify=False)
    assert endpoint({**there, "DOCKER_HOST": "unix:///s", "DOCKER_TLS_VERIFY": "1"}).tls is None


def test_a_named_context_goes_before_the_current_one(tmp_path: Path) -> None:
    context(tmp_path, "gpu7", "ssh://ada@gpu7", current=True)
    context(tmp_path, "lab", "tcp://lab:2376", tls=True, SkipTLSVerify=True)
    current = endpoint({"HOME": str(tmp_path)})
    assert (current.host, current.origin, current.tls) == ("ssh://ada@gpu7", "context gpu7", None)
    named = endpoint({"HOME": str(tmp_path), "DOCKER_CONTEXT": "lab"})
    assert named.host == "tcp://lab:2376" and named.tls and not named.tls.verify
    assert endpoint({"HOME": str(tmp_path), "DOCKER_CONTEXT": "default"}).remote is False


def test_the_client_keeps_its_contexts_where_docker_config_says(tmp_path: Path) -> None:
    context(tmp_path, "gpu7", "unix:///elsewhere.sock", current=True)
    assert endpoint({"DOCKER_CONFIG": str(tmp_path / ".docker")}).host == "unix:///elsewhere.sock"


def test_a_context_that_is_not_there_is_named_and_no_other_engine_taken(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachable, match="no docker context 'gone'") as caught:
        connect({"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"}, "")
    assert "docker context ls" in caught.value.hint


def test_where_docker_has_no_socket_podmans_own_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.machines.endpoint.DEFAULT", f"unix://{tmp_path}/no.sock")
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").touch()
    found = endpoint({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})
    assert found.host == f"unix://{tmp_path}/podman/podman.sock" and DEFAULT.startswith("unix://")


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_socket_that_this_user_may_not_use_is_passed_over() -> None:
    with tempfile.TemporaryDirectory() as folder:
        closed, own = Path(folder, "closed"), Path(folder, "own", "podman")
        own.mkdir(parents=True)
        closed.mkdir(0o700)
        for path in (closed / "docker.sock", own / "podman.sock"):
            path.touch()
        Path(folder).chmod(0o755)
        (own / "podman.sock").chmod(0o666)
        source = (
            "import os, provision.machines.endpoint as it; from provision.machines.local import LocalMachine\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            f"it.DEFAULT = 'unix://{closed}/docker.sock'\n"
            f"print(it.endpoint({{'XDG_RUNTIME_DIR': '{folder}/own'}}).host, it.endpoint({{}}).host)\n"
            f"print(LocalMachine({{}}).exists('{closed}/docker.sock'))\n"
        )
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.stdout == f"unix://{own}/podman.sock unix://{closed}/docker.sock\nFalse\n", done.stderr


def test_what_ssh_says_is_the_error_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n")
    program.chmod(0o755)
    with pytest.raises(EngineUnreachable, match="cannot be reached by ssh") as caught:
        Tunnel("ssh://ada@gpu7:2222", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert caught.value.context == "Host key verification failed." and "ssh ssh://ada@gpu7:2222 true" in caught.value.hint
    with pytest.raises(EngineUnreachable, match="no ssh client"):
        Tunnel("ssh://gpu7", {"PATH": "/nowhere"})
