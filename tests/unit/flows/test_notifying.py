"""Messages to a webhook: a real HTTP server on loopback, and every way in which it can fail."""

import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from flows import notifying

SECRET = "T0KEN-of-the-webhook"


@dataclass
class Webhook:
    address: str
    answer: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            told.bodies.append(json.loads(self.rfile.read(length)))
            self.send_response(told.answer)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    told = Webhook(f"http://127.0.0.1:{server.server_port}/{SECRET}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(notifying.WEBHOOK_VARIABLE, told.address)
    yield told
    server.shutdown()
    server.server_close()


def test_a_message_holds_text_for_people_and_details_for_programs(webhook: Webhook) -> None:
    notifying.notify("released", "headstart: v0.2.0 released", version="v0.2.0")
    assert webhook.bodies == [
        {"text": "headstart: v0.2.0 released", "event": "released", "version": "v0.2.0"}
    ]


def test_a_failed_run_is_told_with_its_reason(webhook: Webhook) -> None:
    state = SimpleNamespace(message="Flow run encountered an exception: RefusedError: too bad")
    notifying.notify_of_end(SimpleNamespace(name="release"), SimpleNamespace(name="owl"), state)
    (body,) = webhook.bodies
    assert body["text"] == "headstart: release owl failed: RefusedError: too bad"
    assert (body["event"], body["flow"], body["run"]) == ("failed", "release", "owl")


def test_without_an_address_and_in_a_run_of_another_run_nothing_is_sent(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in notifying.MUTED.items():
        monkeypatch.setenv(name, value)
    notifying.notify("failed", "text")
    monkeypatch.delenv(notifying.WEBHOOK_VARIABLE)
    notifying.notify("failed", "text")
    assert webhook.bodies == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:1/{}", "Connection refused"),
        ("http://{}.invalid/", "not known|resolution|No address"),
        ("{}", "ValueError"),
        ("http://127.0.0.1:x/{}", "InvalidURL"),
    ],
)
def test_an_address_that_cannot_be_reached_is_told_without_the_address(
    address: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(notifying.WEBHOOK_VARIABLE, address.format(SECRET))
    with caplog.at_level(logging.DEBUG):
        notifying.notify("failed", "text")
    told = [one.getMessage() for one in caplog.records if one.name == notifying.__name__]
    assert len(told) == 1
    assert re.search(reason, told[0]), told
    assert SECRET.lower() not in caplog.text.lower()


def test_a_refusal_is_told_by_its_number(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.answer = 403
    notifying.notify("failed", "text")
    assert "did not take a message: it answered 403" in caplog.text
    assert SECRET not in caplog.text


def test_a_webhook_that_never_answers_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifying, "LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv(notifying.WEBHOOK_VARIABLE, f"http://127.0.0.1:{port}/{SECRET}")
        notifying.notify("failed", "text")
    assert "did not take a message" in caplog.text
    assert SECRET not in caplog.text
