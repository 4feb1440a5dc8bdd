"""`course mark`: free texts beside their rubric in a browser; marks go into free_text.csv.

The page is served to this machine alone, and only to who knows the token in its address.
"""

from __future__ import annotations

import json
import secrets
import string
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from course_tools.grading.people import FREE, checked, given, table
from course_utils.writing import write_text

PAGE = string.Template(Path(__file__).with_name("marking.html").read_text("utf-8"))
LONGEST = 20_000  # bytes of a comment that is sent
HEADERS = ("Cache-Control: no-store", "Referrer-Policy: no-referrer", "X-Frame-Options: DENY")


class Desk(ThreadingHTTPServer):
    """Serves the texts of one folder of marks; `address` is what a person opens."""

    def __init__(self, out: Path) -> None:
        if not given(out):
            raise ValueError(f"{out / 'free_text.csv'} has no texts: course grade writes it")
        super().__init__(("127.0.0.1", 0), Page)
        self.out, self.token, self.lock = out, secrets.token_urlsafe(24), Lock()
        self.host = f"127.0.0.1:{self.server_port}"
        self.address = f"http://{self.host}/?token={self.token}"

    def save(self, key: str, marks: str, comment: str) -> None:
        """Write one mark into the table as it is now; raises ValueError for an impossible one."""
        with self.lock:  # browsers open several connections at once
            rows = given(self.out)
            if key not in rows:
                raise ValueError("this text is no longer in free_text.csv: load the page anew")
            row = rows[key]
            if marks:
                checked(marks, row | {"points": float(row["points"])}, row["student"])
            row |= {"marks": marks, "comment": comment}
            lines = [FREE, *([one[name] for name in FREE] for one in rows.values())]
            write_text(self.out / "free_text.csv", table(lines), private=True)


class Page(BaseHTTPRequestHandler):
    """One request: the page, its texts, or a mark."""

    server: Desk

    def do_GET(self) -> None:
        """Give the page or the texts to who has the token."""
        path, _, token = self.path.partition("?token=")
        if not self.known(token):
            return
        if path == "/texts":
            self.reply(200, json.dumps(list(given(self.server.out).values())), "application/json")
        else:
            self.reply(200, PAGE.substitute(token=token), "text/html")

    def do_POST(self) -> None:
        """Save a mark."""
        size = int(self.headers.get("Content-Length") or 0)
        if not self.known(self.headers.get("X-Token", "")) or size > LONGEST:
            return
        try:
            sent: dict[str, Any] = json.loads(self.rfile.read(size))
            self.server.save(*(str(sent[name]).strip() for name in ("key", "marks", "comment")))
        except (ValueError, KeyError, TypeError) as error:
            self.reply(400, str(error))
        else:
            self.reply(200, "saved")

    def known(self, token: str) -> bool:
        """Whether the token is right, and no other name of this machine was used; else says so."""
        same = secrets.compare_digest(token.encode(), self.server.token.encode())
        if same and self.headers.get("Host") == self.server.host:
            return True
        self.reply(403, "Open the address that `course mark` printed.")
        return False

    def reply(self, status: int, text: str, kind: str = "text/plain") -> None:
        """Send a text that no cache keeps, and no other page may hold."""
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for header in HEADERS:
            self.send_header(*header.split(": "))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: Any) -> None:
        """Say nothing: an address holds the token."""
