"""A package index on loopback with one tiny package, and the faults a real one may have."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from course_utils.data.cache import Wheel

FILE = "tinytext-1.0-py3-none-any.whl"
TEXT = random.Random(0).randbytes(600_000)  # pip writes it in pieces of 256 kB


def build_wheel() -> bytes:
    """Return a valid wheel whose only content is data."""
    members = {
        "tinytext/data.bin": TEXT,
        "tinytext/model/a.txt": b"a",
        "tinytext-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tinytext\nVersion: 1.0\n",
        "tinytext-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
        "tinytext-1.0.dist-info/RECORD": b"",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
    return file.getvalue()


CONTENT = build_wheel()
TINY = Wheel("tinytext", "1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Index(ThreadingHTTPServer):
    """Serves the package; `fault` is "", "half", "flipped" or "slow"; counts downloads."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port, in a thread."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault, self.downloads, self.address = "", 0, f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """Return the variables that make pip ask here and nowhere else."""
        return {
            "PIP_INDEX_URL": f"{self.address}/simple",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "NO_PROXY": "127.0.0.1",
        }


class _Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        if self.path == "/simple/tinytext/":
            page = f'<a href="{self.server.address}/files/{FILE}">{FILE}</a>'.encode()
            self._send(page, "text/html")
        elif self.path == f"/files/{FILE}":
            self.server.downloads += 1
            self._send(CONTENT, "application/octet-stream", self.server.fault)
        else:
            self.send_error(404)

    def _send(self, body: bytes, kind: str, fault: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "half":
            body = body[: len(body) // 2]
        elif fault == "flipped":
            body = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
        elif fault == "slow":
            self.wfile.write(body[:300_000])
            self.wfile.flush()
            time.sleep(2)
            body = body[300_000:]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the tests' output is for the tests."""
