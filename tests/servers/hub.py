"""A real HTTP server that speaks what the hub's own library asks a hub for: which files there are, and the files."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

MODEL = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?")
TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)")
FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass
class Repo:
    """A model on the hub: a folder for each commit, and what branches and tags mean."""

    commits: dict[str, Path]
    names: dict[str, str]  # branch or tag → commit
    gated_for: str | None = None  # None: open to all; else the token that may have it


@dataclass
class Hub:
    """What the server has, and what it was asked for."""

    repos: dict[str, Repo] = field(default_factory=dict)
    url: str = ""
    fetched: list[str] = field(default_factory=list)  # paths of files that were downloaded

    def add(self, name: str, folder: Path, tag: str = "main", **more: Any) -> str:
        """Put a folder up as a new commit, which becomes what `tag` means; return the commit."""
        commit = hashlib.sha1(f"{name} {folder}".encode(), usedforsecurity=False).hexdigest()
        repo = self.repos.setdefault(name, Repo({}, {}, **more))
        repo.commits[commit] = folder
        repo.names[tag] = commit
        return commit


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a hub on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        for pattern, answer in ((TREE, self._tree), (MODEL, self._model), (FILE, self._file)):
            if asked := pattern.fullmatch(path):
                said = asked.groupdict()
                repo = self.hub.repos.get(said["repo"])
                if repo is None:  # as the real one answers whoever is not logged in
                    return self._refuse(401, "RepoNotFound")
                revision = said.get("revision") or "main"
                commit = repo.names.get(revision, revision)
                if commit not in repo.commits:
                    return self._refuse(404, "RevisionNotFound")
                return answer(repo, commit, said.get("path", ""))
        return self._refuse(404, "EntryNotFound")

    def _model(self, repo: Repo, commit: str, _: str) -> None:
        siblings = [{"rfilename": name, "size": size} for name, size in _files(repo.commits[commit])]
        self._json({"_id": "0", "id": "x", "modelId": "x", "sha": commit, "siblings": siblings, "tags": []})

    def _tree(self, repo: Repo, commit: str, _: str) -> None:
        names = _files(repo.commits[commit])
        self._json([{"type": "file", "path": name, "size": size, "oid": _oid(name)} for name, size in names])

    def _file(self, repo: Repo, commit: str, path: str) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repo.gated_for is not None and token != repo.gated_for:
            return self._refuse(403 if token else 401, "GatedRepo")
        file = repo.commits[commit] / path
        if not file.is_file():
            return self._refuse(404, "EntryNotFound")
        if self.command == "GET":
            self.hub.fetched.append(path)
        self._send(200, file.read_bytes(), {"X-Repo-Commit": commit, "ETag": f'"{_oid(path + commit)}"'})

    def _json(self, told: Any) -> None:
        self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _files(folder: Path) -> list[tuple[str, int]]:
    return [(p.relative_to(folder).as_posix(), p.stat().st_size) for p in sorted(folder.rglob("*")) if p.is_file()]


def _oid(of: str) -> str:
    return hashlib.sha1(of.encode(), usedforsecurity=False).hexdigest()
