"""The Hugging Face protocol at any endpoint: huggingface.co, a mirror, a hub on the LAN.

Protocol as huggingface_hub 2.4 speaks it: `/api/models/{repo}/revision/{revision}` names the commit,
`/api/models/{repo}/tree/{commit}` lists (pages through `Link: rel="next"`), `/{repo}/resolve/{commit}/{path}` sends;
`X-Error-Code` tells a missing repository from a missing revision.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from provision.http import Http, Reply, status_error
from provision.sources.interface import Manifest, ModelRef, RemoteFile, SourceError
from provision.sources.listings import remote_file
from provision.sources.missing import gated, link_refused, missing, not_allowed, strayed
from provision.sources.ranges import HttpStream, Ranges
from provision.sources.tokens import HUGGINGFACE
from provision.wire import Transport

UPSTREAM = "https://huggingface.co"
COMMIT = re.compile(r"[0-9a-f]{40}")
NEXT_PAGE = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
PAGES_AT_MOST = 1000


class HuggingFaceSource:
    """A hub at `endpoint`. `token` goes to that endpoint's origin alone."""

    def __init__(self, endpoint: str = UPSTREAM, token: str | None = None, transport: Transport | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._http = Http(transport or Transport(), self.name)
        self._ranges = Ranges(self._http)
        self._private = {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def name(self) -> str:
        return f"hf:{self.endpoint}"

    def manifest(self, ref: ModelRef) -> Manifest:
        """Return the files at the commit that `ref` names now: two requests, and one more per further page."""
        repo = quote(ref.repo, safe="/")
        base = f"{self.endpoint}/api/models/{repo}"
        data, reply = self._http.get_json(f"{base}/revision/{quote(ref.revision, safe='')}", self._private)
        commit = data.get("sha") if isinstance(data, dict) else None
        if reply.status != 200 or not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise self._explain(reply, ref, "revision")
        files: list[RemoteFile] = []
        url = f"{base}/tree/{commit}?recursive=true&expand=false"
        for _ in range(PAGES_AT_MOST):
            page, reply = self._http.get_json(url, self._private)
            if reply.status != 200 or not isinstance(page, list):
                raise self._explain(reply, ref, "revision")
            files += [_remote_file(entry, reply) for entry in page if _is_file(entry)]
            link = NEXT_PAGE.search(reply.headers.get("link", ""))
            if not link:
                return Manifest(ref.repo, ref.revision, commit, tuple(dict.fromkeys(files)), self.name)
            # a mirror may name its upstream here; the cursor is what counts
            url = f"{base}/tree/{commit}?{link.group(1).partition('?')[2]}"
        raise reply.error("listing-endless", f"{reply.host} lists more than {PAGES_AT_MOST} pages")

    def open(self, manifest: Manifest, file: RemoteFile, offset: int = 0, length: int | None = None) -> HttpStream:
        """Return the file's bytes from `offset`, `length` of them or all. Raises SourceError."""
        url = f"{self.endpoint}/{quote(manifest.repo, safe='/')}/resolve/{manifest.commit}/{quote(file.path, safe='/')}"
        answer = self._ranges.open(url, self._private, manifest, file, offset, length)
        if isinstance(answer, HttpStream):
            return answer
        raise self._explain(answer, ModelRef(manifest.repo, manifest.commit), "file", file, manifest)

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def _explain(
        self, reply: Reply, ref: ModelRef, kind: str, file: RemoteFile | None = None, manifest: Manifest | None = None
    ) -> SourceError:
        reply.close()
        if file and strayed(reply, self.endpoint):
            return link_refused(reply)
        code = reply.headers.get("x-error-code", "")
        page, how = f"{self.endpoint}/{ref.repo}", HUGGINGFACE.how(self.endpoint)
        if code == "GatedRepo":
            return gated(reply, page, how, bool(self._private))
        if code == "RepoNotFound" or (reply.status == 404 and not code and kind == "revision"):
            error = missing(reply, "repo", ref.repo, self._search(ref.repo))
            if reply.status == 401:  # upstream does not tell a private repository from none
                error.hint = f"{error.hint} If it is private: {how}".strip()
            return error
        if code == "RevisionNotFound":
            return missing(reply, "revision", ref.revision, self._revisions(ref.repo))
        if reply.status == 404 and file and manifest:
            return missing(reply, "file", file.path, [other.path for other in manifest.files if other.path != file.path])
        if reply.status in (401, 403):
            return not_allowed(reply, page, how)
        if reply.status == 200:
            return reply.error("listing-cut", f"{reply.host} sent a listing without what it must hold", retriable=True)
        return status_error(reply, file.path if file else str(ref))

    def _search(self, repo: str) -> list[str]:
        """Return the repositories that the hub finds for the last part of `repo`; none where it is silent."""
        name = repo.rpartition("/")[2]
        found = self._quietly(f"{self.endpoint}/api/models?search={quote(name)}&limit=20")
        return [str(entry["id"]) for entry in found if isinstance(entry, dict) and "id" in entry]

    def _revisions(self, repo: str) -> list[str]:
        refs = self._quietly(f"{self.endpoint}/api/models/{quote(repo, safe='/')}/refs")
        names = [*refs.get("branches", []), *refs.get("tags", [])] if isinstance(refs, dict) else []
        return [str(entry["name"]) for entry in names if isinstance(entry, dict) and "name" in entry]

    def _quietly(self, url: str) -> Any:
        try:
            data, reply = self._http.get_json(url, self._private)
        except SourceError:  # a hint is worth no second failure
            return []
        return data if reply.status == 200 and isinstance(data, list | dict) else []


def _is_file(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "file"


def _remote_file(entry: dict[str, Any], reply: Reply) -> RemoteFile:
    lfs = entry.get("lfs") or {}
    try:
        sha256, blob_id = (lfs["oid"], None) if lfs else (None, entry["oid"])
        return remote_file(entry["path"], entry["size"], sha256, blob_id)
    except (KeyError, TypeError, ValueError):
        raise reply.error("listing-cut", f"{reply.host} lists a file without path, size or id", retriable=True) from None
