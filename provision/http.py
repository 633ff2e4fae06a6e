"""HTTP for every hub: redirects by hand, credentials for one origin only, each failure says whose it is.

Nothing here reads the environment: `Transport.from_environ` takes it as a mapping. Addresses in messages carry no query: it
may be a signature.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from provision.sources.interface import Blame, SourceError
from provision.wire import HeaderWatch, Transport, bare, make_manager, wire_error

if TYPE_CHECKING:
    import urllib3

REDIRECTS = 8
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
JSON_LIMIT = 64 * 1024 * 1024  # bytes of one metadata answer
USER_AGENT = "provision"


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of `url`: what a credential belongs to."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class Reply:
    """One answer, its body not read yet. `url` and `host` are those that really answered, after redirects."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, url: str, source: str) -> None:
        self._raw = raw
        self.url = url
        self.host = urlsplit(url).netloc.rpartition("@")[2]
        self.source = source
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.first: Mapping[str, str] = raw.headers  # of the host that was asked, where it redirected

    def blame(self) -> Blame:
        """Who answered this."""
        return Blame(self.source, self.host, self.status, retry_after(self.headers, time.time()), dict(self.headers))

    def read_some(self, limit: int) -> bytes:
        """Return what is there now, at most `limit` bytes; empty at the end. Raises SourceError where the body is cut."""
        try:
            return self._raw.read1(limit, decode_content=False)
        except Exception as error:  # noqa: BLE001 - sorted at once: what is not a wire failure goes up again
            raise wire_error(error, self.source, self.url) from None

    def read_all(self, limit: int, seconds: float) -> bytes:
        """Return the whole body. Raises SourceError past `limit` bytes or `seconds`."""
        deadline, body = time.monotonic() + seconds, bytearray()
        while chunk := self.read_some(65536):
            body += chunk
            if len(body) > limit:
                raise self.error("answer-too-large", f"{self.host} sent more than {limit} bytes where a listing was due")
            if time.monotonic() > deadline:
                raise self.error("source-slow", f"{self.host} took more than {seconds:g} s over a listing", retriable=True)
        return bytes(body)

    def error(self, reference: str, message: str, *, retriable: bool = False, hint: str = "") -> SourceError:
        """Return the SourceError that blames this answer's host."""
        context = f"HTTP {self.status} from {bare(self.url)}"
        return SourceError(
            message, blame=self.blame(), reference=reference, retriable=retriable, context=context, hint=hint
        )

    def close(self) -> None:
        """Let go; a body that was not read to its end takes its connection along."""
        self._raw.close()


class Http:
    """Requests to any host, over kept-alive connections. `source` names who asks, for the blame."""

    def __init__(self, transport: Transport, source: str) -> None:
        self.transport = transport
        self.source = source
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._watch = HeaderWatch(transport.stall)

    def get(self, url: str, headers: Mapping[str, str] | None = None, private: Mapping[str, str] | None = None) -> Reply:
        """Return the final answer to a GET, redirects followed. `private` headers go to `url`'s own origin alone.

        Raises SourceError for a host that cannot be reached or a redirect loop; a status is not an error here.
        """
        home, seen, first = origin(url), {url}, None
        while True:
            reply = self.once(url, {**(headers or {}), **((private or {}) if origin(url) == home else {})})
            first = reply.first = first or reply.headers
            if reply.status not in REDIRECT_STATUSES or "location" not in reply.headers:
                return reply
            target = _target(reply)
            reply.read_some(65536)
            if target in seen or len(seen) > REDIRECTS:
                raise reply.error("redirect-loop", f"{reply.host} redirects in a circle, or more than {REDIRECTS} times")
            seen.add(target)
            url = target

    def get_json(self, url: str, private: Mapping[str, str] | None = None) -> tuple[Any, Reply]:
        """Return the parsed answer and the Reply; of a status other than 200, the Reply's JSON or None.

        Raises SourceError: `login-page` for HTML, `listing-cut` for JSON that does not parse.
        """
        reply = self.get(url, {"Accept": "application/json"}, private)
        refuse_encoded(reply)
        body = reply.read_all(JSON_LIMIT, self.transport.metadata)
        try:
            return json.loads(body), reply
        except (ValueError, RecursionError):
            if reply.status != 200:
                return None, reply
        if looks_like_html(body):
            raise login_page(reply)
        raise reply.error("listing-cut", f"{reply.host} sent a listing that is not whole JSON", retriable=True)

    def once(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Return the answer to one GET, a redirect as it is. Raises SourceError for a host that cannot be reached."""
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        try:
            raw = self._manager(url).request("GET", url, headers=sent, redirect=False, retries=False, preload_content=False)
        except Exception as error:  # noqa: BLE001 - sorted at once: what is not a wire failure goes up again
            raise wire_error(error, self.source, url) from None
        return Reply(raw, url, self.source)

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = self.transport.proxy_for(url)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = make_manager(self.transport, proxy, self._watch)
            return self._managers[proxy]

    def close(self) -> None:
        """Close every idle connection."""
        for manager in self._managers.values():
            manager.clear()
        self._watch.stop()


def _target(reply: Reply) -> str:
    """Return where a redirect leads. Raises SourceError where that is no address of HTTP."""
    try:
        target = urljoin(reply.url, reply.headers["location"])
        if origin(target)[0] in ("http", "https"):
            return target
    except ValueError:  # a port or an address in brackets that is none
        pass
    raise reply.error("redirect-refused", f"{reply.host} redirects to something that is not HTTP")


def refuse_encoded(reply: Reply) -> None:
    """Raise SourceError where an answer comes in an encoding that was not asked for: its bytes are not the file's."""
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        reply.close()
        raise reply.error(
            "encoding-unasked",
            f"{reply.host} sends {encoding} where the bytes themselves were asked for",
            hint="a proxy or a filter on the way changes answers: go around it, or use another source",
        )


def status_error(reply: Reply, what: str) -> SourceError:
    """Return the error for a status that says nothing about the repository: 429, 5xx and the odd ones."""
    if reply.status == 429:
        wait = reply.blame().retry_after
        message = f"{reply.host} limits requests" + (f" and asks to wait {wait:.0f} s" if wait else "")
        return reply.error("rate-limited", message, retriable=True, hint="what has come is kept: the same command goes on")
    if reply.status == 407:
        hint = "put user and password into HTTPS_PROXY: http://user:password@proxy:port"
        return reply.error("proxy-refused", "the proxy asks for a password, or refuses the one it got", hint=hint)
    if reply.status >= 500:
        return reply.error("source-unavailable", f"{reply.host} answers {reply.status} for {what}", retriable=True)
    return reply.error("status-unexpected", f"{reply.host} answers {reply.status} for {what}")


def refusal(reply: Reply) -> SourceError:
    """Return the error for a status other than 200, named after what is likely to stand behind it."""
    status = reply.status
    reply.close()
    if status in (401, 403):
        message = f"{reply.host} answers {status}: a firewall or an allow-list refuses this client or this file"
        return reply.error(f"refused-{status}", message)
    if status in (404, 410):
        return reply.error("not-there", f"{reply.host} does not have it ({status})")
    if status == 429:
        return reply.error("rate-limited", f"{reply.host} limits requests")
    return reply.error("source-unavailable" if status >= 500 else "status-unexpected", f"{reply.host} answers {status}")


def login_page(reply: Reply) -> SourceError:
    """Return the error for a page where data was due."""
    return reply.error(
        "login-page",
        f"{reply.host} sent a web page instead of the data",
        hint="a login page, a captive portal or a filter stands before it: open it in a browser, or use another source",
    )


def looks_like_html(head: bytes) -> bool:
    """Whether a body's first bytes are a web page's."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<script"))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a host asks to wait: `Retry-After` (seconds or a date, RFC 9110 10.2.3), else `RateLimit`'s `t`
    (draft-ietf-httpapi-ratelimit-headers-09, as huggingface.co sends it)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    if value:
        with contextlib.suppress(ValueError, TypeError):
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    found = re.search(r"\br=0\b.*?\bt=(\d+)", headers.get("ratelimit", ""))
    return float(found.group(1)) if found else None
