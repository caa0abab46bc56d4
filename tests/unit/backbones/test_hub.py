"""Downloads from a real server on loopback; only the address of torchvision's weights is ours."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torchvision import models
from torchvision.models import ResNet18_Weights, WeightsEnum, resnet18
from torchvision.models._api import Weights

from tasks import silence
from tasks.backbones import hub
from tasks.backbones.build import build, describe
from tasks.backbones.weights import load_weights
from tasks.errors import DataError

NAME = "IMAGENET1K_V1"


class Server(ThreadingHTTPServer):
    """Holds ResNet-18 weights.

    Attributes:
        answers: what it does at each request, in turn: `whole`, `cut`, `damaged`, `missing`,
            `busy`, or `silent`, from the middle of the file; the last one from then on.
        asked: requests so far.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.answers = ["whole"]
        self.asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 60  # its own, in place of that of the client in this process

    def do_GET(self) -> None:
        answer = self.server.answers[min(self.server.asked, len(self.server.answers) - 1)]
        self.server.asked += 1
        if answer in ("missing", "busy"):
            self.send_error(404 if answer == "missing" else 503)
            return
        content = self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if answer in ("cut", "silent"):
            content = content[: len(content) // 2]
        if answer == "damaged":
            content = content[:-1] + b"x"
        self.wfile.write(content)
        if answer == "silent":
            self.rfile.read(1)  # until the client has gone

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(resnet18().state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def server(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, an empty cache, and torchvision's ResNet-18 weights at its address."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "_PAUSE_S", 0.01)
    digest = hashlib.sha256(content).hexdigest()[:8]
    with Server(content) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}/resnet18-{digest}.pth"
        monkeypatch.setattr(models, "get_model_weights", lambda _: _weights_at(url))
        yield running
        running.shutdown()


def _weights_at(url: str) -> type[WeightsEnum]:
    original = ResNet18_Weights.IMAGENET1K_V1.value
    entry = Weights(url=url, transforms=original.transforms, meta=original.meta)
    return WeightsEnum("ResNet18_Weights", {NAME: entry, "DEFAULT": entry})  # type: ignore[call-overload, no-any-return]


def loaded(weights: str = "imagenet", sha256: str = "") -> torch.Tensor:
    spec = describe(
        "resnet18",
        channels=3,
        conv4_widths=[],
        conv4_embedding="mean",
        stored_px=32,
        input_size_px=0,
        weights=weights,
    )
    encoder = build(spec)
    load_weights(encoder, spec, weights, sha256)
    return encoder.backbone.state_dict()["network.conv1.weight"]


def cached(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())


def expected() -> torch.Tensor:
    torch.manual_seed(1)
    return resnet18().conv1.weight


def test_imagenet_weights_are_downloaded_once_and_then_come_from_the_cache(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert torch.equal(loaded(), expected())
    assert "100%" in capfd.readouterr().err  # of torchvision's own bar
    server.shutdown()
    server.server_close()  # from now on there is only the cache
    assert torch.equal(loaded(NAME), expected())
    assert server.asked == 1 and len(cached(tmp_path)) == 1


def test_a_download_that_is_cut_is_begun_again(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = ["cut", "busy", "whole"]
    assert torch.equal(loaded(), expected())
    assert server.asked == 3 and len(cached(tmp_path)) == 1
    assert [line.levelname for line in caplog.records].count("WARNING") == 2


@pytest.mark.parametrize(
    ("answer", "asked", "told"),
    [("cut", 3, "hash"), ("damaged", 3, "hash"), ("missing", 1, "404"), ("busy", 3, "503")],
)
def test_a_download_that_fails_leaves_nothing_behind(
    server: Server, tmp_path: Path, answer: str, asked: int, told: str
) -> None:
    server.answers = [answer]
    with pytest.raises(DataError, match=f"cannot be downloaded.*{told}.*copy resnet18-"):
        loaded()
    assert server.asked == asked and cached(tmp_path) == []


def test_a_download_that_falls_silent_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0.5)
    server.answers = ["silent"]
    with pytest.raises(DataError, match="cannot be downloaded.*timed out.*copy resnet18-"):
        loaded()
    assert server.asked == 3 and cached(tmp_path) == []


def test_without_network_and_cache_one_line_says_which_file_to_put_where(
    server: Server, tmp_path: Path
) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError) as told:
        loaded()
    text = str(told.value)
    assert len(text.splitlines()) == 1
    assert "copy resnet18-" in text and str(tmp_path / "cache" / "hub" / "checkpoints") in text
    assert "pretrain.weights" in text


def test_a_damaged_file_in_the_cache_is_told(server: Server, tmp_path: Path) -> None:
    loaded()
    (path,) = cached(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=f"{path}.*as its name says.*delete it"):
        loaded()


def test_the_digest_of_a_downloaded_file_is_checked(server: Server, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    assert torch.equal(loaded(sha256=digest.upper()), expected())
    with pytest.raises(DataError, match=f"found SHA-256 {digest}, needed {'0' * 64}"):
        loaded(sha256="0" * 64)


def test_images_of_another_size_than_the_weights_were_trained_on_are_told(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    loaded()
    assert "trained on images of 224 pixels a side, and get 32" in caplog.text
