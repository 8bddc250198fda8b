"""A port for a program that has to be told one: nobody else is given it between the choice and the program's start."""

import secrets
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port():
    """Return a free port of loopback, below those that the system gives to whoever names none."""
    end = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
    begin = max(1024, end - 10_000)
    while True:
        port = begin + secrets.randbelow(end - begin)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
