"""Asks a served, OpenAI-compatible endpoint (vLLM, SGLang, Ollama, llama.cpp): its models, one token, a stream.

Each question leaves a fact; one that failed says who answered what. Nothing is followed to another host: the key goes to
the address that was given, or nowhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from checks import thinking
from checks.interface import Fact
from provision.http import looks_like_html
from provision.sources.interface import SourceError
from provision.wire import Transport, bare, wire_error

if TYPE_CHECKING:
    import urllib3

LISTING_LIMIT = 4 << 20  # bytes of one answer that is no stream
THOUGHT_FIELDS = (
    "reasoning_content",
    "reasoning",
    "thinking",
)  # vLLM ≤ 0.11 and SGLang; vLLM and Ollama since; Ollama's own
WORDS = 1000  # characters kept of an answer that was not what was asked for


@dataclass(frozen=True)
class Patience:
    """Seconds: to connect, for the next byte, for one whole answer. A cold server loads its model at the first question."""

    connect: float = 8.0
    stall: float = 120.0
    whole: float = 300.0


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, for which model (empty: the first that is served), and how. `url` is with or without its `/v1`."""

    url: str
    model: str = ""
    key: str = field(default="", repr=False)
    prompt: str = "你好，请介绍一下自己"
    max_tokens: int = 512
    family: str = "auto"
    transport: Transport = field(default_factory=Transport)
    patience: Patience = field(default_factory=Patience)

    @property
    def base(self) -> str:
        """The address that `/models` is put behind."""
        path = urlsplit(self.url).path.rstrip("/")
        return self.url.rstrip("/") if path else urljoin(self.url, "/v1")


class Refused(Exception):
    """A question that got no proper answer: a kebab-case `kind`, the status (0: none), and the server's words."""

    def __init__(self, kind: str, message: str, status: int = 0, words: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.words = words[:WORDS]

    def fact(self, seconds: float) -> Fact:
        """Return it as a fact's error."""
        told = {"type": self.kind, "message": self.message, "status": str(self.status), "words": self.words}
        return Fact(error=told, seconds=seconds)


def ask(endpoint: Endpoint) -> dict[str, Fact]:
    """Return the facts, one for each question, as far as the answers lead."""
    session = _Session(endpoint)
    facts: dict[str, Fact] = {}

    def stage(name: str, question: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
        began = time.monotonic()
        try:
            value = question()
        except Refused as refused:
            facts[name] = refused.fact(time.monotonic() - began)
            return None
        facts[name] = Fact(value, seconds=time.monotonic() - began)
        return value

    try:
        listed = stage("endpoint.reachable", session.models)
        if listed is None:
            return facts
        model = endpoint.model or next(iter(listed["models"]), "")
        facts["endpoint.model"] = Fact({"wanted": endpoint.model, "chosen": model, "served": listed["models"]})
        if not model or stage("endpoint.answers", lambda: session.one_token(model)) is None:
            return facts
        made = stage("generation.basic", lambda: session.generate(model, True))
        if made is None:
            return facts
        facts["generation.thinking_split"] = Fact(split(made, endpoint.family, True))
        plain = stage("endpoint.thinking_off", lambda: session.generate(model, False))
        if plain is not None:
            facts["endpoint.thinking_off"] = Fact(split(plain, endpoint.family, False))
        return facts
    finally:
        session.close()


def split(made: Mapping[str, Any], family: str, requested: bool) -> dict[str, Any]:
    """Return thought and answer by the rules of `checks.thinking`. `left` says that the server left markers in the content;
    `field` names where the thought came from."""
    family = family_of(made["content"]) if family == "auto" else family
    told = {"family": family, "tokens": made["tokens"], "honoured": made["switched"], "finish": made["finish"]}
    inner = thinking.split_text(made["content"], family=family, thinking_requested=requested)
    if not made["reasoning"]:
        left = bool(inner.reasoning or inner.close_count)
        return {**told, **_parts(inner), "left": left, "field": "content" if left else "", "method": "text"}
    cut = made["finish"] == "length" and not made["content"].strip()
    return {
        **told,
        "reasoning": made["reasoning"],
        "content": inner.content if inner.close_count else made["content"],
        "state": "truncated" if cut else "closed",
        "left": bool(inner.close_count),
        "field": made["field"],
        "method": made["field"],
    }


def _parts(found: thinking.Split) -> dict[str, Any]:
    return {"reasoning": found.reasoning, "content": found.content, "state": found.state}


def family_of(content: str) -> str:
    """Return the first family whose closing marker stands in the text; the plain pair where none does."""
    for name, family in thinking.FAMILIES.items():
        if any(marker in content for marker in (*family.close, *family.blocks)):
            return name
    return "qwen3"


class _Session:
    """The questions, over one connection pool."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._pool = _pool(endpoint)
        self._host = urlsplit(endpoint.url).netloc.rpartition("@")[2]
        self._plain = False

    def close(self) -> None:
        self._pool.clear()

    def models(self) -> dict[str, Any]:
        """The listing; a server without one (404, 405) is there all the same."""
        reply = self._send("GET", "/models", None)
        if reply.status in (404, 405):
            reply.close()
            return {"host": self._host, "models": [], "listed": False}
        found = self._json(reply)
        rows = found.get("data") if isinstance(found, dict) else None
        if not isinstance(rows, list):
            raise Refused("not-openai", f"{self._host} answers /models with something else", 200, json.dumps(found)[:WORDS])
        names = [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row]
        return {"host": self._host, "models": names, "listed": True}

    def one_token(self, model: str) -> dict[str, Any]:
        """A real call for one token, without a stream."""
        asked = self._question(model, 1, "Hi")
        found = self._json(self._send("POST", "/chat/completions", asked))
        choice = _first(found, self._host)
        usage = found.get("usage") or {}
        return {
            "finish": choice.get("finish_reason"),
            "tokens": usage.get("completion_tokens"),
            "model": found.get("model"),
        }

    def generate(self, model: str, thinking_on: bool) -> dict[str, Any]:
        """A short generation, streamed and timed. A server that refuses what OpenAI's protocol does not have is asked
        without it."""
        asked = {**self._question(model, self._endpoint.max_tokens, self._endpoint.prompt), "stream": True}
        if not self._plain:
            switch = {"enable_thinking": thinking_on, "thinking": thinking_on}  # Qwen, GLM; DeepSeek, Granite
            more = {"stream_options": {"include_usage": True}, "chat_template_kwargs": switch}
            try:
                return self._stream({**asked, **more})
            except Refused as refused:
                if refused.status not in (400, 422):
                    raise
                self._plain = True
        return self._stream(asked)

    def _question(self, model: str, budget: int, prompt: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}]
        return {"model": model, "messages": messages, "max_tokens": budget, "temperature": 0, "seed": 0}

    def _stream(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        reply = self._send("POST", "/chat/completions", asked)
        if reply.status != 200:
            self._json(reply)
        heard = _Heard(began)
        for event in self._events(reply, began):
            heard.take(event)
        if not heard.ended:
            raise Refused(
                "stream-cut", f"{self._host} ended the stream without a finish reason", 200, heard.content[-WORDS:]
            )
        return {**heard.told(), "switched": "chat_template_kwargs" in asked, "prompt": self._endpoint.prompt}

    def _events(self, reply: urllib3.BaseHTTPResponse, began: float) -> Iterator[Mapping[str, Any]]:
        """Server-sent events (WHATWG HTML, 9.2), of which OpenAI's use the `data:` lines and end with `[DONE]`."""
        held = b""
        for chunk in self._chunks(reply, began):
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                data = line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
                if data == b"[DONE]":
                    reply.close()
                    return
                if data:
                    yield self._event(data)
        if held.strip() and not held.startswith((b"data:", b":")):
            raise Refused("not-a-stream", f"{self._host} sent no stream", 200, held.decode("utf-8", "replace"))

    def _event(self, data: bytes) -> Mapping[str, Any]:
        try:
            found = json.loads(data)
        except ValueError:
            raise Refused(
                "not-json", f"{self._host} streamed what is no JSON", 200, data.decode("utf-8", "replace")
            ) from None
        if not isinstance(found, dict):
            raise Refused("not-openai", f"{self._host} streamed what is no object", 200, data.decode("utf-8", "replace"))
        if found.get("error"):
            raise Refused("server-error", f"{self._host} reports an error in its stream", 200, _words(found))
        return found

    def _chunks(self, reply: urllib3.BaseHTTPResponse, began: float) -> Iterator[bytes]:
        while True:
            try:
                chunk = reply.read1(65536)
            except Exception as error:  # noqa: BLE001 - sorted at once: what is not a wire failure goes up again
                raise self._sorted(error) from None
            if not chunk:
                return
            yield chunk
            if time.monotonic() - began > self._endpoint.patience.whole:
                reply.close()
                raise Refused("hung", f"{self._host} was still sending after {self._endpoint.patience.whole:g} s")

    def _send(self, method: str, path: str, asked: Mapping[str, Any] | None) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "provision"}
        headers |= {"Authorization": f"Bearer {self._endpoint.key}"} if self._endpoint.key else {}
        headers |= {"Content-Type": "application/json"} if asked is not None else {}
        body = json.dumps(asked).encode() if asked is not None else None
        try:
            return self._pool.request(
                method,
                self._endpoint.base + path,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except Exception as error:  # noqa: BLE001 - sorted at once: what is not a wire failure goes up again
            raise self._sorted(error) from None

    def _sorted(self, error: Exception) -> Refused:
        """The failure below HTTP, in this endpoint's words. Raises what is none."""
        try:
            raise wire_error(error, "endpoint", self._endpoint.url)
        except SourceError as found:
            if found.name == "source-stalled":
                return Refused("hung", f"{self._host} sent nothing for {self._endpoint.patience.stall:g} s")
            return Refused(found.name, found.message, words=found.context)

    def _json(self, reply: urllib3.BaseHTTPResponse) -> Any:
        """The body of a proper answer. Raises Refused for every other, by what it is."""
        body = b"".join(_up_to(self._chunks(reply, time.monotonic()), LISTING_LIMIT))
        words = body.decode("utf-8", "replace")
        if reply.status in (301, 302, 303, 307, 308):
            target = bare(urljoin(self._endpoint.url, reply.headers.get("location", "")))
            raise Refused("redirected", f"{self._host} redirects to {target}", reply.status, words)
        if looks_like_html(body):
            raise Refused("web-page", f"{self._host} answers with a web page", reply.status, words)
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if reply.status != 200:
            said = _words(found) or words
            raise Refused(_kind(reply.status, said), f"{self._host} answers {reply.status}", reply.status, said)
        if found is None:
            raise Refused("not-json", f"{self._host} answers with what is no JSON", 200, words)
        return found


def _pool(endpoint: Endpoint) -> urllib3.PoolManager:
    import urllib3

    patience = endpoint.patience
    timeout = urllib3.Timeout(connect=patience.connect, read=patience.stall)
    proxy = endpoint.transport.proxy_for(endpoint.url)
    ca_file = endpoint.transport.ca_file
    if proxy:
        return urllib3.ProxyManager(proxy, timeout=timeout, ca_certs=ca_file)
    return urllib3.PoolManager(timeout=timeout, ca_certs=ca_file)


def _up_to(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        yield chunk
        if size > limit:
            return


def _kind(status: int, said: str) -> str:
    if status in (401, 403):
        return "unauthorised"
    if status == 404:
        return "model-unknown" if "model" in said.lower() else "not-openai"
    if status == 429:
        return "rate-limited"
    return "server-error" if status >= 500 else "question-refused"


def _words(found: Any) -> str:
    """What the usual shapes of an error say: {"error": {"message"}}, {"error": "…"}, {"message"}, {"detail"}."""
    if not isinstance(found, dict):
        return ""
    inner = found.get("error", found)
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail") or ""
    return inner if isinstance(inner, str) else json.dumps(inner)


def _first(found: Any, host: str) -> Mapping[str, Any]:
    choices = found.get("choices") if isinstance(found, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Refused("not-openai", f"{host} answers without choices", 200, json.dumps(found))
    return dict(choices[0])


class _Heard:
    """What a stream said so far."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._texts: dict[str, list[str]] = {name: [] for name in ("content", *THOUGHT_FIELDS)}
        self._first: float | None = None
        self._last = began
        self._pieces = 0
        self._usage: int | None = None
        self.ended = ""

    @property
    def content(self) -> str:
        return "".join(self._texts["content"])

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event; the last may have no choices, and only say what was used."""
        usage = event.get("usage") or {}
        self._usage = usage.get("completion_tokens", self._usage)
        for choice in event.get("choices") or ():
            self.ended = choice.get("finish_reason") or self.ended
            delta = choice.get("delta") or {}
            said = [name for name in self._texts if isinstance(delta.get(name), str) and delta[name]]
            for name in said:
                self._texts[name].append(delta[name])
            if said:
                self._last = time.monotonic()
                self._first = self._first or self._last
                self._pieces += 1

    def told(self) -> dict[str, Any]:
        """Return the texts and the times. Tokens are the server's own count, else the pieces that came."""
        thoughts = {name: "".join(self._texts[name]) for name in THOUGHT_FIELDS}
        field_ = next((name for name in THOUGHT_FIELDS if thoughts[name]), "")
        tokens = self._pieces if self._usage is None else self._usage
        seconds = self._last - self._began
        return {
            "content": self.content,
            "reasoning": thoughts.get(field_, ""),
            "field": field_,
            "finish": self.ended,
            "tokens": tokens,
            "counted_by": "pieces" if self._usage is None else "server",
            "seconds": seconds,
            "ttft_seconds": None if self._first is None else self._first - self._began,
            "tokens_per_second": tokens / seconds if seconds > 0 else None,
            "text": f"{thoughts.get(field_, '')}{self.content}",
            "finite": True,
        }
