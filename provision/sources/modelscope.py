"""The ModelScope protocol, as modelscope 1.40 (modelscope_hub 0.5) speaks it.

`/api/v1/models/{repo}/repo/files` lists with sha256 and cuts silently at 3,000 entries; an unknown revision is status 200
with `Files: null`; the commit is `LatestCommitter.Id` or, where that is empty, the entries' `Revision` that its `ShortId`
begins. `/api/v1/models/{repo}/repo?Revision=&FilePath=` sends. The token travels as the cookie `m_session_id`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from provision.http import Http, Reply, status_error
from provision.sources.interface import Blame, Manifest, ModelRef, RemoteFile, SourceError
from provision.sources.listings import remote_file
from provision.sources.missing import gated, link_refused, missing, not_allowed, strayed
from provision.sources.ranges import HttpStream, Ranges
from provision.sources.tokens import MODELSCOPE
from provision.wire import Transport

UPSTREAM = "https://www.modelscope.cn"
LISTING_CAP = 3000
REQUESTS_AT_MOST = 500
DEFAULT_BRANCH = "master"


class ModelScopeSource:
    """A hub at `endpoint`. `token` goes to that endpoint's origin alone."""

    def __init__(self, endpoint: str = UPSTREAM, token: str | None = None, transport: Transport | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._http = Http(transport or Transport(), self.name)
        self._ranges = Ranges(self._http)
        self._token = token
        self._private = {"Cookie": f"m_session_id={token}", "Authorization": f"Bearer {token}"} if token else {}

    @property
    def name(self) -> str:
        return f"modelscope:{self.endpoint}"

    def manifest(self, ref: ModelRef) -> Manifest:
        """Return the files at the commit that `ref` names now. The branch `main` is `master` here."""
        revision = DEFAULT_BRANCH if ref.revision == "main" else ref.revision
        data, entries = self._walk(ref, revision)
        try:
            files = [
                remote_file(entry["Path"], entry["Size"], entry.get("Sha256"), None)
                for entry in entries
                if entry.get("Type") != "tree"
            ]
        except ValueError as error:
            raise self._listing_cut(f"lists {error}") from None
        return Manifest(ref.repo, ref.revision, _commit(data, entries, revision), tuple(dict.fromkeys(files)), self.name)

    def open(self, manifest: Manifest, file: RemoteFile, offset: int = 0, length: int | None = None) -> HttpStream:
        """Return the file's bytes from `offset`, `length` of them or all. Raises SourceError."""
        query = urlencode({"Revision": manifest.commit, "FilePath": file.path})
        url = f"{self.endpoint}/api/v1/models/{quote(manifest.repo, safe='/')}/repo?{query}"
        answer = self._ranges.open(url, self._private, manifest, file, offset, length)
        if isinstance(answer, HttpStream):
            return answer
        answer.close()
        if strayed(answer, self.endpoint):
            raise link_refused(answer)
        if answer.status == 404:
            raise missing(answer, "file", file.path, [other.path for other in manifest.files if other.path != file.path])
        raise self._explain(answer, ModelRef(manifest.repo, manifest.commit))

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def _walk(self, ref: ModelRef, revision: str) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        """Return the listing's data and all entries; a listing that stops at the cap is asked again folder by folder."""
        data = self._list(ref, revision, None, recursive=True)
        if len(data["Files"]) < LISTING_CAP:
            return data, data["Files"]
        found: dict[str, Mapping[str, Any]] = {}
        folders: list[str | None] = [None]
        for _ in range(REQUESTS_AT_MOST):
            if not folders:
                return data, list(found.values())
            folder = folders.pop()
            entries = self._list(ref, revision, folder, recursive=False)["Files"]
            if len(entries) >= LISTING_CAP:
                raise self._incomplete(ref, f"{LISTING_CAP} entries or more in {folder or 'one folder'}")
            folders += [entry["Path"] for entry in entries if entry.get("Type") == "tree"]
            found.update({entry["Path"]: entry for entry in entries})
        raise self._incomplete(ref, f"more than {REQUESTS_AT_MOST} folders")

    def _list(self, ref: ModelRef, revision: str, root: str | None, *, recursive: bool) -> dict[str, Any]:
        query = {"Revision": revision, "Recursive": str(recursive), **({"Root": root} if root else {})}
        url = f"{self.endpoint}/api/v1/models/{quote(ref.repo, safe='/')}/repo/files?{urlencode(query)}"
        answer, reply = self._http.get_json(url, self._private)
        if reply.status != 200 or not isinstance(answer, dict) or answer.get("Code", 200) != 200:
            raise self._explain(reply, ref)
        data = answer.get("Data")
        if not isinstance(data, dict):
            raise reply.error("listing-cut", f"{reply.host} sent a listing without its data", retriable=True)
        if data.get("Files") is None:
            raise missing(reply, "revision", ref.revision, self._revisions(ref.repo))
        if any(not isinstance(entry, dict) or "Path" not in entry or "Size" not in entry for entry in data["Files"]):
            raise reply.error("listing-cut", f"{reply.host} lists a file without path or size", retriable=True)
        return data

    def _explain(self, reply: Reply, ref: ModelRef) -> SourceError:
        page, how = f"{self.endpoint}/models/{ref.repo}", MODELSCOPE.how(self.endpoint)
        if reply.status == 404:
            return missing(reply, "repo", ref.repo, ())
        if reply.status == 403:
            return gated(reply, page, how, bool(self._token))
        if reply.status == 401:
            return not_allowed(reply, page, how)
        return status_error(reply, str(ref))

    def _revisions(self, repo: str) -> list[str]:
        try:
            answer, _ = self._http.get_json(
                f"{self.endpoint}/api/v1/models/{quote(repo, safe='/')}/revisions", self._private
            )
            known = answer["Data"]["RevisionMap"]
            return [str(entry["Revision"]) for kind in ("Branches", "Tags") for entry in known.get(kind) or []]
        except (SourceError, KeyError, TypeError):  # a hint is worth no second failure
            return []

    def _listing_cut(self, what: str) -> SourceError:
        return SourceError(f"{self.endpoint} {what}", blame=Blame(self.name), reference="listing-cut", retriable=True)

    def _incomplete(self, ref: ModelRef, why: str) -> SourceError:
        return SourceError(
            f"{self.endpoint} cannot list all of {ref}: {why}",
            blame=Blame(self.name),
            reference="listing-endless",
        )


def _commit(data: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], revision: str) -> str:
    """Return the commit, or `revision` itself where the listing does not tell: sha256 still pins every file."""
    told = data.get("LatestCommitter")
    latest = told if isinstance(told, dict) else {}
    identity, short = str(latest.get("Id") or ""), str(latest.get("ShortId") or "")
    if re.fullmatch(r"[0-9a-f]{40}", identity):
        return identity
    for entry in entries:
        if short and str(entry.get("Revision", "")).startswith(short):
            return str(entry["Revision"])
    return revision
