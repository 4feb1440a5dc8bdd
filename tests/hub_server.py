"""The Hugging Face hub on loopback: its protocol as `huggingface_hub` speaks it, and its faults.

`Hub(repos)` serves `{"models/OWNER/NAME": {"path": bytes}, "datasets/OWNER/NAME": …}`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from course_utils.data.sources import REVISIONS

LARGE = (".safetensors", ".parquet", ".gz")  # kept apart by the hub, and reached by a redirect
API = r"/api/(models|datasets)/(.+?)(?:/(revision|tree|paths-info)/(.+))?"
Files = dict[str, bytes]


def etag(path: str, content: bytes) -> str:
    """Return the name the hub gives to a content: SHA-256 of large files, git's SHA-1 of others."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def commit(repo: str) -> str:
    """Return the one commit that a repository of this hub has: what the table pins, if it does."""
    return REVISIONS.get(repo.split("/", 1)[1], hashlib.sha1(repo.encode()).hexdigest())


class Hub(ThreadingHTTPServer):
    """A hub in a thread; `fault`: "", slow, 404, 401, 429, garbage, truncated, flipped, gone."""

    daemon_threads = True

    def __init__(self, repos: dict[str, Files], greeting: bytes = b"[]") -> None:
        """Listen on a free port; old names without an owner are redirected to `repos`."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos, self.greeting = repos, greeting
        self.old = {re.sub("/.*/", "/", name): name for name in repos}
        self.blobs = {etag(p, c): c for files in repos.values() for p, c in files.items()}
        self.fault, self.spared = "", 0
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def fail(self, fault: str, spared: int = 0) -> None:
        """From now on show this fault, after `spared` more requests that are well."""
        self.fault, self.spared, self.asked = fault, spared, []

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        if self.path.startswith("/api/models?"):
            return self.reply(self.server.greeting)
        self.server.spared -= 1
        fault = self.server.fault if self.server.spared < 0 else ""
        if not self.fails(fault):
            self.route(fault, body)

    do_HEAD = do_POST = do_GET

    def fails(self, fault: str) -> bool:
        """Answer in place of the real answer, for the faults that concern every request."""
        if fault == "slow":
            time.sleep(2)  # longer than the patience that the tests set
        elif fault == "gone":
            self.close_connection = True
            self.connection.close()
            return True
        elif fault == "garbage":
            self.reply(b"<html>Please log in to the hotel's network</html>", kind="text/html")
            return True
        elif fault in ("404", "401", "429"):
            code = {"404": "RepoNotFound", "401": "GatedRepo"}.get(fault, "")
            self.reply(b'{"error": "no"}', int(fault), **({"X-Error-Code": code} if code else {}))
            return True
        return False

    def route(self, fault: str, body: bytes) -> None:
        """Find out what is asked of which repository, and answer."""
        url = urlsplit(self.path)
        if match := re.fullmatch(r"/cdn/(\w+)", url.path):
            return self.content(self.server.blobs[match[1]], fault)
        if match := re.fullmatch(API, url.path):
            kind, name, what, rest = match.groups()
            return self.ask(f"{kind}/{name}", what or "revision", rest or "main", url.query, body)
        if match := re.fullmatch(r"/(datasets/)?(.+?)/resolve/(.+)", url.path):
            return self.resolve((match[1] or "models/") + match[2], match[3], fault)
        return self.missing("RepoNotFound")

    def found(self, repo: str, revision: str) -> tuple[str, Files] | None:
        """Return name and files at a revision; else redirect, or say that it is missing."""
        if (files := self.server.repos.get(repo)) and revision in ("main", commit(repo)):
            return repo, files
        if name := self.server.old.get(repo):
            short, full = repo.split("/", 1)[1], name.split("/", 1)[1]
            self.reply(b"", 307, Location=self.path.replace(short, full, 1))
        else:
            self.missing("RevisionNotFound" if repo in self.server.repos else "RepoNotFound")
        return None

    def ask(self, repo: str, what: str, rest: str, query: str, body: bytes) -> None:
        """Answer the API: a repository at a revision, its tree, or some of its paths."""
        revision, _, folder = rest.partition("/")
        revision, folder = unquote(revision), unquote(folder)
        if not (known := self.found(repo, revision)):
            return
        name, files = known
        if what == "revision":
            listed = [{"rfilename": path} for path in files]
            sha = commit(name)
            self.json({"id": repo.split("/", 1)[1], "sha": sha, "siblings": listed, "tags": []})
        elif what == "paths-info":
            wanted = (
                json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode())["paths"]
            )
            self.json(
                [entry for path in wanted for entry in entries(files) if entry["path"] == path]
            )
        else:
            inside = [e for e in entries(files) if e["path"].startswith(folder and folder + "/")]
            deep = "recursive=true" in query.lower()
            listed = [e for e in inside if deep or "/" not in e["path"][len(folder) :].strip("/")]
            self.json(listed) if inside else self.missing("EntryNotFound")

    def resolve(self, repo: str, rest: str, fault: str) -> None:
        """Answer for one file: itself, or the address of its content if it is large."""
        revision, path = map(unquote, rest.split("/", 1))
        if not (known := self.found(repo, revision)):
            return
        name, files = known
        if path not in files:
            return self.missing("EntryNotFound", commit(name))
        tag, size = etag(path, files[path]), len(files[path])
        about = {"X-Repo-Commit": commit(name), "ETag": f'"{tag}"'}
        if not path.endswith(LARGE):
            return self.content(files[path], "", **about)
        about |= {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(size)}
        cdn = f"http://localhost:{self.server.server_port}"  # another host, as in the real hub
        self.reply(b"", 302, Location=f"{cdn}/cdn/{tag}", **about)

    def content(self, whole: bytes, fault: str, **headers: str) -> None:
        """Send bytes, or the part that is asked for; truncated and flipped concern large files."""
        status, part = 200, whole
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(match[1]), int(match[2] or len(whole) - 1)
            status, part = 206, whole[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
        if fault == "flipped":
            part = part[:-1] + bytes([part[-1] ^ 1])
        self.reply(part, status, half=fault == "truncated", **headers)

    def json(self, found: object) -> None:
        self.reply(json.dumps(found).encode(), kind="application/json")

    def missing(self, code: str, revision: str = "") -> None:
        more = {"X-Repo-Commit": revision} if revision else {}
        self.reply(b'{"error": "not found"}', 404, **{"X-Error-Code": code}, **more)

    def reply(
        self, body: bytes, status: int = 200, kind: str = "application/octet-stream",
        half: bool = False, **headers: str,
    ) -> None:  # fmt: skip
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: the tests' output is for the tests."""


def entries(files: Files) -> list[dict]:
    """Return files and folders as the hub's tree lists them."""
    folders = {
        "/".join(path.split("/")[:i]) for path in files for i in range(1, path.count("/") + 1)
    }
    listed: list[dict] = [
        {"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in sorted(folders)
    ]
    for path, content in files.items():
        tag, size = etag(path, content), len(content)
        large = (
            {"lfs": {"oid": tag, "size": size, "pointerSize": 130}} if path.endswith(LARGE) else {}
        )
        listed.append({"type": "file", "path": path, "oid": tag[:40], "size": size, **large})
    return listed
