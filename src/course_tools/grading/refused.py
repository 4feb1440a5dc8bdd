"""A seccomp filter for the jail: system calls that no answer needs, answered with "there is none".

Some hold memory that belongs to no process, so that no limit would see it; the others are parts
of the kernel in which holes were found again and again.
"""

from __future__ import annotations

import platform
import struct

ENOSYS = 38
ALLOW, ERRNO = 0x7FFF0000, 0x00050000 | ENOSYS
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # BPF's instructions
NUMBER, ARCHITECTURE = 0, 4  # where the kernel puts them
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OTHER_ABI = 0x40000000  # x86-64's calls with 32-bit pointers, under numbers of their own
CALLS = {  # numbers on x86-64, and on 64-bit ARM
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "fanotify_init": (300, 262),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
}  # fmt: skip


def program(machine: str = platform.machine()) -> bytes:
    """The filter as the kernel reads it; empty for a machine whose numbers are not known."""
    if machine not in AUDIT:
        return b""
    numbers = [pair[list(AUDIT).index(machine)] for pair in CALLS.values()]
    tests = [(AT_LEAST, OTHER_ABI), *((EQUAL, number) for number in numbers)]
    lines = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 0, len(tests) + 2, AUDIT[machine])]
    lines += [(LOAD, 0, 0, NUMBER)]
    for index, (test, number) in enumerate(tests):  # a hit jumps to the last line
        lines.append((test, len(tests) - index, 0, number))
    lines += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
