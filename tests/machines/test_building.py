"""The Dockerfile for the classic builder, the words of a failed build, and clients that will not begin."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from provision.errors import BuildFailed
from provision.machines.building import Order, Refused, clients, with_buildkit, without_mounts


def program(folder: Path, script: str) -> dict[str, str]:
    """An environment whose only docker is `script`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin"}


ORDER = Order({"Dockerfile": b"FROM x\n"}, "t", arguments={"A": "b c"}, labels={"l": "m"}, secrets={"netrc": b"hush"})


def test_mounts_are_all_that_the_classic_builder_is_spared(root: Path) -> None:
    whole = (root / "Dockerfile.cuda").read_text("utf-8")
    plain = without_mounts(whole)
    assert "--mount" in whole and "--mount" not in plain
    assert [line.split()[0] for line in plain.splitlines() if line and line[0].isupper()] == [
        line.split()[0] for line in whole.splitlines() if line and line[0].isupper()
    ]
    assert without_mounts("RUN --mount=type=cache,target=/x \\\n    --mount=type=secret,id=y \\\n    make") == "RUN make"


def test_what_a_later_buildkit_only_knows_is_in_no_dockerfile(root: Path) -> None:
    text = (root / "Dockerfile.cuda").read_text("utf-8")
    assert "# syntax" not in text and "<<" not in text and "--link" not in text


def test_arguments_reach_the_client_and_secrets_only_as_files(tmp_path: Path) -> None:
    script = 'printf "%s\\n" "$@" >"$0.argv"; for a; do case $a in --secret=*) cat "${a##*src=}" >"$0.secret";; esac; done'
    env = program(tmp_path / "bin", script)
    assert with_buildkit(ORDER, env, print) == str(tmp_path / "bin" / "docker")
    words = (tmp_path / "bin" / "docker.argv").read_text().splitlines()
    assert "--build-arg=A=b c" in words and "--label=l=m" in words and words[-1] == "-"
    assert (tmp_path / "bin" / "docker.secret").read_text() == "hush" and "hush" not in " ".join(words)
    [secret] = [word.split("src=")[1] for word in words if word.startswith("--secret")]
    assert not Path(secret).exists()


def test_a_client_that_will_not_begin_is_passed_over_with_its_words(tmp_path: Path) -> None:
    first = program(tmp_path / "one", "echo 'ERROR: BuildKit is enabled but the buildx component is missing'; exit 1")
    second = program(tmp_path / "two", "exit 0")
    both = {"PATH": first["PATH"].split(os.pathsep)[0] + os.pathsep + second["PATH"].split(os.pathsep)[0]}
    assert len(clients(both)) == 2
    with pytest.raises(Refused, match="no docker client on the PATH"):
        with_buildkit(ORDER, {"PATH": str(tmp_path)}, print)
    with pytest.raises(Refused, match="buildx component is missing"):
        with_buildkit(ORDER, {"PATH": str(tmp_path / "one")}, print)


def test_the_failing_instruction_and_its_own_words_are_told(tmp_path: Path) -> None:
    lines = [
        "#4 [a 1/2] COPY x y",
        "#4 DONE 0.1s",
        "#5 [a 2/2] RUN --mount=type=cache,target=/c make",
        "#6 [b 1/1] RUN other",
        "#5 0.31 no rule to make target",
        "#6 0.40 not of interest",
        "#5 ...",
        "#5 [a 2/2] RUN --mount=type=cache,target=/c make",
        "#5 0.41",
        "#5 ERROR: process did not complete successfully: exit code: 2",
    ]
    env = program(tmp_path / "bin", "printf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + "; exit 1")
    with pytest.raises(BuildFailed, match="exit code: 2") as caught:
        with_buildkit(ORDER, env, print)
    assert caught.value.context == "[a 2/2] RUN make\nno rule to make target"


def test_an_engine_that_went_away_is_not_called_a_failed_instruction(tmp_path: Path) -> None:
    env = program(tmp_path / "bin", "echo '#5 [a 2/2] RUN make'; echo 'rpc error: code = Unavailable'; exit 1")
    with pytest.raises(BuildFailed, match="the builder went away") as caught:
        with_buildkit(ORDER, env, print)
    assert "Unavailable" in caught.value.context


def test_an_interruption_ends_the_client(tmp_path: Path) -> None:
    env = program(tmp_path / "bin", 'trap "echo told >$0.told; exit 1" TERM; echo "#1 begun"; while :; do sleep 0.05; done')

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        with_buildkit(ORDER, env, interrupt)
    assert (tmp_path / "bin" / "docker.told").exists() and time.monotonic() > began
