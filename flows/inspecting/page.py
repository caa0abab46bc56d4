"""The findings as one HTML file with everything inside; opens from disk, asks no network."""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from flows.inspecting import words
from flows.inspecting.counting import ClassCount, extremes
from flows.inspecting.inspection import Inspection
from flows.inspecting.opened import describe
from flows.inspecting.suspicion import SHOWN
from tasks.sources.names import shown

_CLASSES_SHOWN = 24
_TILES_A_CLASS = 8
_EXTREMES = 10
_GROUPS_SHOWN = 100
_DOUBLES_SHOWN = 12
_JPEG_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """One framed image on the page.

    Attributes:
        uri: the picture itself.
        path: of its file, printable.
        label: its class, printable.
    """

    uri: str
    path: str
    label: str


@dataclass(frozen=True)
class Strip:
    """A class with some of its images."""

    name: str
    images: int
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Doubtful:
    """An image whose label may be wrong, and those that say so."""

    picture: Picture
    suggested: str
    neighbours: Sequence[Picture]


def render_page(found: Inspection, recipe: str, command: str) -> str:
    """Fill the template; every name is escaped, whatever it holds.

    Args:
        found: the findings.
        recipe: the overrides to start with as YAML; empty where there are none.
        command: what to run next.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("flows.inspecting").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    few, many = extremes(found.counted.classes, _EXTREMES)
    groups = sorted(found.counted.groups, key=lambda one: (-one.classes, one.name))
    text = template.render(
        found=found,
        opened=describe(found.look),
        words=words,
        shown=shown,
        few=few,
        many=many,
        strips=_strips(found),
        groups=groups[:_GROUPS_SHOWN],
        groups_beyond=len(groups[_GROUPS_SHOWN:]),
        doubtful=_doubtful(found),
        doubles=[
            [_picture(found, position) for position in some[:_TILES_A_CLASS]]
            for some in found.look.doubles(across=True)[:_DOUBLES_SHOWN]
        ],
        side_px=max(48, min(72, found.look.spec.size_px)),
        pixelated=found.look.spec.size_px < 48,
        recipe=recipe,
        command=command,
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _strips(found: Inspection) -> list[Strip]:
    """Some classes from the smallest to the largest, each with a few sound images."""
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for position in found.look.sound.tolist():
        positions[found.look.images[position].class_name].append(position)
    there: list[ClassCount] = [one for one in found.counted.classes if positions[one.name]]
    chosen = np.linspace(0, len(there) - 1, min(_CLASSES_SHOWN, len(there))).round().astype(int)
    return [
        Strip(
            words.name(there[index].name, 80),
            there[index].images,
            [
                _picture(found, position)
                for position in positions[there[index].name][:_TILES_A_CLASS]
            ],
        )
        for index in chosen.tolist()
    ]


def _doubtful(found: Inspection) -> list[Doubtful]:
    if found.labels is None:
        return []
    return [
        Doubtful(
            _picture(found, one.position),
            words.name(found.look.images[one.suggested].class_name, 80),
            [_picture(found, to) for to in one.neighbours],
        )
        for one in found.labels.suspicions[:SHOWN]
    ]


def _picture(found: Inspection, position: int) -> Picture:
    image = found.look.images[position]
    return Picture(
        _data_uri(np.asarray(found.look.tiles[position])),
        shown(image.path),
        words.name(image.class_name, 80),
    )


def _data_uri(tile: NDArray[np.uint8]) -> str:
    """A tile `(side, side, channels)` as a link that carries it; colour as JPEG, which is small."""
    file = BytesIO()
    if tile.shape[2] == 1:
        Image.fromarray(tile[..., 0]).save(file, "PNG")
        kind = "png"
    else:
        Image.fromarray(tile).save(file, "JPEG", quality=_JPEG_QUALITY)
        kind = "jpeg"
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode('ascii')}"
