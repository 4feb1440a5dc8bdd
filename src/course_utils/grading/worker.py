"""The worker in the jail: takes requests on standard input, gives replies on standard output.

Student code runs in this process and may do with it what it likes. It gains nothing: all that
leaves is a value, and whether it is right is decided elsewhere.
"""

from __future__ import annotations

import json
import os
import sys

from course_utils.grading.cells import main_module
from course_utils.grading.plain import NotPlain, dumps, loads
from course_utils.grading.session import Session


def main() -> None:
    """Serve until standard input ends."""
    limits = json.loads(sys.argv[1])
    if limits["jailed"]:
        limit(limits)
    requests, replies = os.fdopen(os.dup(0), "rb"), os.dup(1)
    silence()
    import course_utils.grading

    course_utils.grading.check = lambda name: 0.0  # its verdict would be lost here
    session = Session(main_module())
    for line in requests:
        request = loads(line)
        send(replies, session.handle(request), request["id"])


def limit(limits: dict) -> None:
    """Set what the kernel bounds, for this process and its children."""
    import resource

    seconds = int(limits["total"]) + 5
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))


def silence() -> None:
    """Send what answers print nowhere: it is never read, and may be endless."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)


def send(replies: int, reply: dict, number: str) -> None:
    """Write one reply; one too large becomes an error."""
    try:
        line = dumps({**reply, "id": number})
    except NotPlain as error:
        line = dumps({"error": "not plain", "type": "", "text": str(error), "id": number})
    while line:
        line = line[os.write(replies, line) :]
