"""Measuring: every candidate's listing at once, then the bytes, a few at a time so that they do not share the line."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from provision.errors import UsageError
from provision.events import Listener, Note, silent
from provision.http import Http, Reply, origin
from provision.mirrors.catalogue import Mirror
from provision.mirrors.measuring.artefacts import FINDERS, Artefact, Needs
from provision.mirrors.measuring.result import Measurement, judge
from provision.mirrors.measuring.wire import Sample, Wire, transport
from provision.sources.interface import SourceError

LISTINGS_AT_ONCE = 16
SAMPLES_AT_ONCE = 2
SLOWEST = 16 << 10  # bytes per second: a proposal; a wheel of 100 MB would take almost two hours
SECONDS_EACH = 15.0  # for a mirror's listing, and again for its bytes

_PYTHON = platform.python_version()
AGENTS: Mapping[str, str] = {  # as the real clients call themselves; some firewalls let nobody else in, or them not
    "pip": f'pip/25.3 {{"implementation":{{"name":"CPython","version":"{_PYTHON}"}},"python":"{_PYTHON}"}}',
    "uv": 'uv/0.9.0 {"installer":{"name":"uv","version":"0.9.0"}}',
    "torch": f'pip/25.3 {{"implementation":{{"name":"CPython","version":"{_PYTHON}"}},"python":"{_PYTHON}"}}',
    "huggingface": f"unknown/None; hf_hub/1.1.0; python/{_PYTHON}",
    "modelscope": f"modelscope/1.40.0; python/{_PYTHON}; session_id/0; platform/Linux; processor/x86_64; env/custom",
    "apt": "Debian APT-HTTP/1.3 (2.6.1)",
    "conda": "conda/25.9.0 requests/2.32.5 CPython/3.12.11 Linux/6.8.0 debian/12 glibc/2.36",
    "npm": "npm/11.6.2 node/v22.21.0 linux x64 workspaces/false",
    "docker": "docker/28.2.2 go/go1.24.3 kernel/6.8.0 os/linux arch/amd64 UpstreamClient(Docker-Client/28.2.2)",
    "buildkit": "buildkit/v0.22",
    "podman": "containers/5.34.1 (github.com/containers/image)",
    "containerd": "containerd/1.7.27",
}


@dataclass(frozen=True)
class Candidate:
    """A mirror to measure. `origin` says whose idea it is: `catalogue`, `inherited`, `--set`."""

    mirror: Mirror
    origin: str = "catalogue"


Found = tuple[Wire, Artefact]


def measure(
    candidates: Sequence[Candidate],
    needs: Needs,
    environ: Mapping[str, str],
    listener: Listener = silent,
    authorities: Mapping[str, str] | None = None,
) -> tuple[Measurement, ...]:
    """Return a row per candidate, in their order, judged against each other. Nothing is raised for a mirror that fails.

    A candidate takes at most 2 * SECONDS_EACH and one stall more; at most wire.SAMPLE_LIMIT bytes come from each. A tool's
    own bundle of `authorities` stands over the environment's for its mirrors.
    """
    own = {tool: {**environ, "SSL_CERT_FILE": file} for tool, file in (authorities or {}).items() if file}
    ways = {tool: Http(transport(own.get(tool, environ)), "measure") for tool in {row.mirror.tool for row in candidates}}
    try:
        with ThreadPoolExecutor(LISTINGS_AT_ONCE) as pool:
            found = list(pool.map(lambda candidate: _find(ways[candidate.mirror.tool], candidate, needs), candidates))
        with ThreadPoolExecutor(SAMPLES_AT_ONCE) as pool:
            rows = list(pool.map(lambda candidate, what: _sample(candidate, what, listener), candidates, found))
    finally:
        for http in ways.values():
            http.close()
    return judge(rows)


def _find(http: Http, candidate: Candidate, needs: Needs) -> Found | Measurement:
    mirror = candidate.mirror
    finder = FINDERS.get(mirror.tool)
    if finder is None:
        return _refused(candidate, "not-measured", f"no file is known that would be fetched for {mirror.tool}")
    try:
        wire = _wire(http, mirror)
        return wire, finder(wire, mirror, needs)
    except SourceError as error:
        return _refused(candidate, error.name, error.message, error.blame.host)
    except UsageError as error:
        return _refused(candidate, "address-unusable", error.message)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _refused(candidate, "listing-cut", f"it sent a listing that is not as it must be: {error!r}")


def _sample(candidate: Candidate, found: Found | Measurement, listener: Listener) -> Measurement:
    if isinstance(found, Measurement):
        return found
    wire, artefact = found
    mirror = candidate.mirror
    listener(Note("measure", f"{mirror.tool}: {artefact.name.rpartition('/')[2]} from {origin(mirror.url)[1]}", "detail"))
    wire.renew(time.monotonic() + SECONDS_EACH)
    try:
        sample = wire.sample(artefact.url, artefact.size)
    except SourceError as error:
        return _refused(candidate, error.name, error.message, error.blame.host)
    return _row(candidate, artefact, sample)


def _row(candidate: Candidate, found: Artefact, sample: Sample) -> Measurement:
    length = sample.headers.get("content-length", "")
    refusal, reason = _objection(found, sample)
    return Measurement(
        tool=candidate.mirror.tool,
        url=candidate.mirror.url,
        origin=candidate.origin,
        refusal=refusal,
        reason=reason,
        host=sample.host,
        way=tuple(f"{hop.host} {hop.status}" for hop in sample.hops),
        artefact=found.name,
        label=found.label,
        version=found.version,
        first_byte=sample.first_byte,
        rate=sample.rate,
        received=sample.received,
        size=found.size or (int(length) if length.isdigit() else 0),
        prefix=sample.prefix,
        is_verified=bool(found.sha256) and sample.sha256 == found.sha256,
    )


def _objection(found: Artefact, sample: Sample) -> tuple[str, str]:
    if found.sha256 and sample.sha256 and sample.sha256 != found.sha256:
        return "sha256-differs", f"its bytes of {found.name} are not those that the listing announces"
    if sample.rate < SLOWEST and not sample.sha256:
        return "too-slow", f"{sample.received} bytes in {sample.seconds:.0f} s"
    return "", ""


def _refused(candidate: Candidate, refusal: str, reason: str, host: str = "") -> Measurement:
    return Measurement(candidate.mirror.tool, candidate.mirror.url, candidate.origin, refusal, reason, host)


def _wire(http: Http, mirror: Mirror) -> Wire:
    kind = _HuggingFaceWire if mirror.tool == "huggingface" else Wire
    return kind(http, mirror.url, AGENTS.get(mirror.tool, "provision"), time.monotonic() + SECONDS_EACH)


class _HuggingFaceWire(Wire):
    """As huggingface_hub 2.4 takes a redirect: only to the same host, unless the answer itself tells commit and etag."""

    def first_redirect(self, reply: Reply, target: str) -> None:
        """See `Wire.first_redirect`."""
        if origin(reply.url) != self._home or origin(target) == self._home:
            return
        told = "x-repo-commit" in reply.headers and {"etag", "x-linked-etag"} & set(map(str.lower, reply.headers))
        if not told:
            raise reply.error(
                f"redirect-{reply.status}",
                f"{reply.host} sends {reply.status} to another host without the file's commit: "
                "huggingface_hub ends with LocalEntryNotFoundError",
            )
