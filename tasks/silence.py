"""How long a download by torchvision or torch.hub may hear nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE_S = 60.0


@contextmanager
def limited_silence() -> Iterator[None]:
    """Give up a connection that says nothing for `SILENCE_S`; both would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
