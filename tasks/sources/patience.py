"""How long a download of torchvision's may hear nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE_S = 60.0


@contextmanager
def limited_patience() -> Iterator[None]:
    """Give up a connection that says nothing for `SILENCE_S`; torchvision waits for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
