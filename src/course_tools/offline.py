"""Run a command with the network cut, so that "works offline" is proven and not hoped for.

`python -m course_tools.offline pytest …` moves itself into a fresh network namespace that has
nothing but loopback (Linux), says what it did, and becomes the command.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def refusal() -> str:
    """Why the network cannot be cut here, found out by a process of its own; "" if it can.

    A cut that fails half-way leaves a process without any network, loopback included: Ubuntu 24.04
    grants an ordinary user the namespace, and then refuses the rest.
    """
    code = "from course_tools.offline import cut_network; cut_network()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return said[-1] if done.returncode else ""


def cut_network() -> None:
    """Leave this process, and all it starts, with loopback only.

    Raises OSError when refused; the process may then have no network at all, see `refusal`.
    """
    user, group = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if flags & CLONE_NEWUSER:  # keep the same user inside, or files would belong to nobody
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    raise_loopback()


def raise_loopback() -> None:
    """Switch `lo` on: Jupyter kernels and local servers talk through it."""
    import fcntl  # not on Windows, where the cut is refused before this line

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(probe, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def interfaces() -> list[str]:
    """Names of the network interfaces this process can see."""
    return [name for _, name in socket.if_nameindex()]


def main() -> None:
    """Cut the network if the system allows it, then become the command."""
    if why := refusal():
        note = f"The network could NOT be cut here ({why}); the tests run without that proof."
        if os.environ.get("COURSE_NEEDS_CUT"):
            sys.exit(f"The network cannot be cut here, and COURSE_NEEDS_CUT is set: {why}")
        os.environ["COURSE_NETWORK"] = "open"
    else:
        cut_network()
        note = f"Network cut: interfaces {', '.join(interfaces())} only."
        os.environ["COURSE_NETWORK"] = "cut"
    print(note, flush=True)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
