"""Ports for servers that tests start."""

import random
import socket

OURS = range(20_000, 32_768)
"""Below those that the system gives out by itself, and above those that Ray takes."""


def free_port() -> int:
    """A port of this machine on which nobody listens; it may be left and taken again."""
    for port in random.SystemRandom().sample(OURS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("a hundred ports of this machine are taken")
