import socket

import pytest

from tasks import silence
from tasks.silence import limited_silence


def test_a_connection_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0.1)
    before = socket.getdefaulttimeout()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        limited_silence(),
        socket.create_connection(silent.getsockname()) as connection,
        pytest.raises(TimeoutError),
    ):
        connection.recv(1)
    assert socket.getdefaulttimeout() == before


def test_what_was_set_before_comes_back_after_an_error() -> None:
    before = socket.getdefaulttimeout()
    with pytest.raises(ValueError, match="inside"), limited_silence():
        raise ValueError("inside")
    assert socket.getdefaulttimeout() == before
