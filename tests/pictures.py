"""Folders of images that people might look at, and `headstart inspect` as tests use it."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from tasks.sources.found import FoundImage

SIDE = 24


def photograph(kind: int, number: int) -> Image.Image:
    """A picture in colour; those of one kind are much alike, those of others are not."""
    colours = np.random.default_rng(1000 + kind).integers(0, 256, (4, 4, 3))
    grain = np.random.default_rng(10_000 * kind + number).integers(-12, 13, (SIDE, SIDE, 3))
    smooth = Image.fromarray(colours.astype(np.uint8)).resize((SIDE, SIDE))
    return Image.fromarray((np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8))


def drawing(kind: int, number: int) -> Image.Image:
    """Black bars on white paper, which stand elsewhere in every kind."""
    paper = np.full((SIDE, SIDE), 255, np.uint8)
    for row, column in np.random.default_rng(kind).integers(4, SIDE - 9, (3, 2)).tolist():
        paper[row : row + 2, column : column + 5 + number % 3] = 0
    return Image.fromarray(paper)


def write_classes(root: Path, classes: int, images: int) -> None:
    """Folders `kind 0` and so on, each with photographs `0.png` and so on."""
    for kind in range(classes):
        folder = root / f"kind {kind}"
        folder.mkdir(parents=True)
        for number in range(images):
            photograph(kind, number).save(folder / f"{number}.png")


def found_images(sizes: dict[str, int]) -> list[FoundImage]:
    """So many images of each class, which nobody could open."""
    return [
        FoundImage(f"{name}/{number}.png", "", name, name.rpartition("/")[0])
        for name, size in sorted(sizes.items())
        for number in range(size)
    ]


def inspect(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `headstart inspect` with these words."""
    monkeypatch.setattr("sys.argv", ["headstart", "inspect", *map(str, words)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


class Links(HTMLParser):
    """Notes what a page refers to, its tags, and whether each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "srcset")]
        assert not any(key.startswith("on") for key, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
