"""Building an image: by BuildKit through a docker client that has it or by Podman itself, else, and with the reason, by the
classic builder.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from provision.errors import BuildFailed
from provision.files import scratch
from provision.machines import podman
from provision.machines.leash import leashed

LAST_LINES = 25  # of a failed build, shown with the error
PATIENCE = 10.0  # seconds that an interrupted client is given to cancel its build
OnLine = Callable[[str], None]
_MOUNTS = re.compile(r"--mount=(?P<what>\S+)\s*(\\\n\s*)?")
_STEP = re.compile(r"(\[\d+/\d+\] )?step \d+", re.IGNORECASE)  # as the classic builder and Podman say it
_TIME = re.compile(r"^\d+\.\d+( |$)")
_VERTEX = re.compile(r"^#(?P<number>\d+) (?P<rest>.*)")


@dataclass(frozen=True)
class Order:
    """What to build. `context` is path in it → bytes, or a file; `secrets` reach only the instructions that mount them."""

    context: Mapping[str, bytes | Path]
    tag: str
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Refused(Exception):
    """A builder would not begin; the text says why. Another may."""


def clients(environ: Mapping[str, str]) -> list[str]:
    """Return every docker client on the PATH, in its order: the first may lack BuildKit where another has it."""
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    found = [shutil.which("docker", path=folder) for folder in folders]
    return list(dict.fromkeys(os.path.realpath(program) for program in found if program))


def with_buildkit(order: Order, environ: Mapping[str, str], on_line: OnLine) -> str:
    """Build with the first docker client that can, and return which. Raises Refused where none can, BuildFailed."""
    reasons = []
    for program in clients(environ):
        try:
            _run_client(program, order, environ, on_line)
            return program
        except Refused as error:
            reasons.append(f"{program}: {error}")
    raise Refused("; ".join(reasons) or "there is no docker client on the PATH")


def with_classic(api: Any, order: Order, stages: Mapping[str, str], on_line: OnLine) -> None:
    """Build with the classic builder over the Engine API; it knows no mounts, and is given none. Raises BuildFailed.

    It leaves an image of each stage behind, which carries the labels `stages`. An interruption leaves no container behind
    (`forcerm`).
    """
    if order.secrets:
        raise BuildFailed(
            "this build needs credentials, and the classic builder would leave them in the image",
            context=f"needed: {', '.join(sorted(order.secrets))}",
            hint="install BuildKit's client: apt-get install docker-buildx-plugin; or use a mirror without a password",
            reference="build-secrets-need-buildkit",
        )
    dockerfile = _labelled(without_mounts(_text(order.context["Dockerfile"])), stages)
    context = {**order.context, "Dockerfile": dockerfile.encode()}
    with packed(context) as archive:
        stream = api.build(
            fileobj=archive,
            custom_context=True,
            tag=order.tag,
            target=order.target,
            buildargs=dict(order.arguments),
            labels=dict(order.labels),
            rm=True,
            forcerm=True,
            decode=True,
        )
        _follow(stream, on_line)


def with_podman(api: Any, release: str, order: Order, stages: Mapping[str, str], on_line: OnLine) -> None:
    """Build with Podman's own builder, over its API. Raises Refused where it takes no secrets, BuildFailed.

    It knows the mounts, but is given no cache: that would stay in a folder of the engine's machine which no API reaches.
    Secrets travel at the root of the context, from where no instruction copies. See `with_classic` for `stages`.
    """
    if int(release.partition(".")[0]) < podman.SECRETS:
        raise Refused(f"Podman {release} takes no secrets over its API, {podman.SECRETS}.0 does")
    dockerfile = _labelled(without_mounts(_text(order.context["Dockerfile"]), "type=cache"), stages)
    secrets = {f"secret-{name}": content for name, content in order.secrets.items()}
    asked = {
        "t": order.tag,
        "target": order.target,
        "buildargs": json.dumps(dict(order.arguments)),
        "labels": json.dumps(dict(order.labels)),
        "secrets": json.dumps([f"id={name},src=secret-{name}" for name in order.secrets]),
        "rm": "true",
        "forcerm": "true",
    }
    with packed({**order.context, **secrets, "Dockerfile": dockerfile.encode()}) as archive:
        _follow(podman.post(api, f"v{api.api_version}/build", asked, archive), on_line)


def without_mounts(dockerfile: str, kind: str = "") -> str:
    """Return a Dockerfile without BuildKit's mounts, or those of one kind (`type=cache`).

    Ours only speed things up or carry secrets: the result is the same.
    """
    return _MOUNTS.sub(lambda found: "" if found["what"].startswith(kind) else found[0], dockerfile)


def _labelled(dockerfile: str, labels: Mapping[str, str]) -> str:
    line = "LABEL " + " ".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    return re.sub(r"^(FROM .*)$", lambda found: f"{found[1]}\n{line}", dockerfile, flags=re.MULTILINE)


@contextmanager
def packed(context: Mapping[str, bytes | Path]) -> Iterator[IO[bytes]]:
    """Yield the build context as an open tar file. Times and owners are fixed, so that the builder's cache holds."""
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in sorted(context.items()):
                entry = tarfile.TarInfo(name)
                entry.mode = 0o644
                if isinstance(content, Path):
                    entry.size = content.stat().st_size
                    with content.open("rb") as file:
                        tar.addfile(entry, file)
                else:
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
        archive.seek(0)
        yield archive


def _text(content: bytes | Path) -> str:
    return (content.read_bytes() if isinstance(content, Path) else content).decode()


def _run_client(program: str, order: Order, environ: Mapping[str, str], on_line: OnLine) -> None:
    with packed(order.context) as archive, _kept_apart(order.secrets) as files:
        argv = [program, "build", "--progress=plain", f"--tag={order.tag}"]
        argv += [f"--target={order.target}"] if order.target else []
        argv += [f"--build-arg={name}={value}" for name, value in order.arguments.items()]
        argv += [f"--label={name}={value}" for name, value in order.labels.items()]
        argv += [f"--secret=id={name},src={path}" for name, path in files.items()]
        env = {**environ, "DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default", "NO_COLOR": "1"}
        lines: list[str] = []

        def hear(line: str) -> None:
            lines.append(line)
            on_line(line)

        code = _hear([*argv, "-"], archive, env, hear)
    if code == 0:
        return
    if not any(_VERTEX.match(line) for line in lines):
        raise Refused(next(filter(None, map(str.strip, lines)), f"exit {code} without a word"))
    raise _failure(lines)


@contextmanager
def _kept_apart(secrets: Mapping[str, bytes]) -> Iterator[dict[str, Path]]:
    """Yield the secrets as files that only we may read, gone afterwards."""
    with scratch() as folder:
        files = {name: folder / name for name in secrets}
        for name, path in files.items():
            path.touch(0o600)
            path.write_bytes(secrets[name])
        yield files


def _hear(argv: Sequence[str], stdin: IO[bytes], env: Mapping[str, str], on_line: OnLine) -> int:
    """Run the client, tell each of its lines, and return its exit code; interrupted, it is told to cancel first."""
    try:
        process = subprocess.Popen(
            leashed(argv, env.get("PATH")),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,
        )
    except OSError as error:
        raise Refused(str(error)) from error
    try:
        assert process.stdout
        for line in process.stdout:
            on_line(line.decode("utf-8", "replace").rstrip())
        return process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _failure(lines: Sequence[str]) -> BuildFailed:
    """Return the error that BuildKit's plain progress tells: `#8 [stage 2/3] RUN …`, `#8 0.31 words`, `#8 ERROR: …`."""
    told: dict[str, list[str]] = {}
    for line in lines:
        found = _VERTEX.match(line)
        if found:
            told.setdefault(found["number"], []).append(found["rest"])
    failing = next((rest for rest in told.values() if any(each.startswith("ERROR") for each in rest)), None)
    if failing is None:
        return BuildFailed("the image could not be built: the builder went away", context="\n".join(lines[-LAST_LINES:]))
    instruction = without_mounts(failing[0])
    passed_over = ("sha256:", "ERROR", failing[0], "...")  # said again where the builder turned to another for a while
    own = [_TIME.sub("", each) for each in failing[1:] if not each.startswith(passed_over)]
    words = [each for each in own if each.strip()]
    why = next(each for each in failing if each.startswith("ERROR")).removeprefix("ERROR: ")
    return BuildFailed(f"the image could not be built: {why}", context="\n".join([instruction, *words[-LAST_LINES:]]))


def _follow(stream: Iterator[dict[str, Any]], on_line: OnLine) -> None:
    lines: list[str] = []
    for event in stream:
        text = str(event.get("stream") or event.get("status") or "").rstrip()
        for line in filter(None, text.splitlines()):
            lines.append(line)
            on_line(line)
        if "error" in event:
            instruction = next((line for line in reversed(lines) if _STEP.match(line)), "")
            raise BuildFailed(
                f"the image could not be built: {event['error']}",
                context="\n".join([instruction, *lines[-LAST_LINES:]]),
            )
