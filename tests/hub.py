"""A hub on this machine: the answers of the real one to the requests that lamina makes, and its bad days on demand."""

import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

LARGE = 1000  # bytes from which a file is kept elsewhere and listed with its SHA-256, as LFS files are


@dataclass
class Hub:
    """Repositories, what was asked for, and what shall go wrong.

    files: (kind, name) -> path -> bytes; the commit follows from them. faults: path pattern -> what happens to the next
    requests that meet it, one each: a status, "cut" (half of the body), "drop" (no answer), or "whole" (no ranges).
    """

    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    listed: dict[str, Any] = field(default_factory=dict)  # path -> what the listing says instead of the truth
    faults: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # server, path, headers
    branches: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)  # commit -> files
    private: str = ""  # the token that all of it needs
    page: int = 1000  # files on a page of the listing
    url: str = ""
    elsewhere: str = ""
    stop: Callable[[], None] = lambda: None  # both servers: what follows finds nobody at their ports

    def put(self, kind: str, name: str, **files: bytes | str) -> str:
        """A commit with these files (`a__b_csv` is a/b.csv); its hash, which `main` then stands for."""
        named = {re.sub(r"_(?=[a-z]+$)", ".", k.replace("__", "/")): v for k, v in files.items()}
        return self.commit(kind, name, {k: v.encode() if isinstance(v, str) else v for k, v in named.items()})

    def commit(self, kind: str, name: str, files: dict[str, bytes]) -> str:
        """`put` for names that are no keywords."""
        sha = hashlib.sha1(repr((kind, name, sorted(files.items()))).encode()).hexdigest()
        self.kept[sha] = files
        self.branches.setdefault((kind, name), []).append(sha)
        return sha

    def paths(self, server: str = "hub") -> list[str]:
        """What one of the two servers was asked for."""
        return [path for where, path, _ in self.asked if where == server]

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path of the hub's own server."""
        whole, query = urllib.parse.urlsplit(path), urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        parts = [urllib.parse.unquote(p) for p in whole.path.strip("/").split("/")]
        if parts[0] == "api":
            kind, name, verb, revision = parts[1], "/".join(parts[2:-2]), parts[-2], parts[-1]
            commit = self._commit(kind, name, revision)
            if commit is None:
                return (
                    404,
                    {"X-Error-Code": "RevisionNotFound" if (kind, name) in self.branches else "RepoNotFound"},
                    b"",
                )
            if verb == "revision":
                said = {"id": name, "sha": commit, "siblings": [{"rfilename": n} for n in self.kept[commit]]}
                return 200, {}, json.dumps(said).encode()
            rows = [self._row(n, data) for n, data in self.kept[commit].items()]
            first = int(query.get("cursor", ["0"])[0])
            more = {"Link": f'<{self.url}{whole.path}?recursive=true&cursor={first + self.page}>; rel="next"'}
            return (
                200,
                more if first + self.page < len(rows) else {},
                json.dumps(rows[first : first + self.page]).encode(),
            )
        kind = "datasets" if parts[0] == "datasets" else "models"
        parts = parts[1:] if kind == "datasets" else parts
        at = parts.index("resolve")
        commit, file = self._commit(kind, "/".join(parts[:at]), parts[at + 1]), "/".join(parts[at + 2 :])
        if commit is None or file not in self.kept[commit]:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        data = self.kept[commit][file]
        if len(data) >= LARGE:
            return 302, {"Location": f"{self.elsewhere}/{commit}/{urllib.parse.quote(file)}?signed=xyz"}, b""
        return 200, {}, data

    def _commit(self, kind: str, name: str, revision: str) -> str | None:
        commits = self.branches.get((kind, name), [])
        return commits[-1] if revision == "main" and commits else revision if revision in commits else None

    def _row(self, name: str, data: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        row: dict[str, Any] = {"type": "file", "oid": git, "size": len(data), "path": name}
        if len(data) >= LARGE:
            row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return row | self.listed.get(name, {})


def _handler(hub: Hub, server: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            pass

        def do_GET(self) -> None:
            headers = {k.lower(): v for k, v in self.headers.items()}
            hub.asked.append((server, self.path, headers))
            fault = next((f.pop(0) for p, f in hub.faults.items() if f and re.search(p, self.path)), None)
            if fault == "drop":
                self.close_connection = True
                return
            if isinstance(fault, int):
                return self._send(fault, {}, b"no")
            if server == "hub":
                if hub.private and headers.get("authorization") != f"Bearer {hub.private}":
                    return self._send(401, {}, b"no")
                status, more, body = hub.answer(self.path)
            else:
                commit, _, file = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)[1:].partition("/")
                status, more, body = 200, {}, hub.kept[commit][file]
            found = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
            if found and status == 200 and fault != "whole":
                start = int(found[1])
                more = more | {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
                status, body = 206, body[start:]
            self._send(status, more, body, cut=fault == "cut")

        def _send(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = True

    return Handler


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers, and a second server, on another port, where its large files are."""
    hub = Hub()
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, name)) for name in ("hub", "elsewhere")]
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    hub.url, hub.elsewhere = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    for thread in threads:
        thread.start()

    def stop() -> None:
        for server, thread in zip(servers, threads, strict=True):
            if thread.is_alive():
                server.shutdown()
                server.server_close()
                thread.join()

    hub.stop = stop
    try:
        yield hub
    finally:
        stop()
