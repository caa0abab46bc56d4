"""The text typefaces that matplotlib ships, and which letters each of them draws."""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from tasks.errors import DataError

# Left out on purpose: LastResort maps every code point to a box, the cm* files put other shapes
# on Latin slots, STIXNonUni and STIXSiz* hold no text, and *Display repeats a face.
FILES = tuple(
    f"{family}{style}.ttf"
    for family, styles in (
        ("DejaVuSans", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("DejaVuSansMono", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("DejaVuSerif", ("", "-Bold", "-Italic", "-BoldItalic")),
        ("STIXGeneral", ("", "Bol", "Italic", "BolIta")),
    )
    for style in styles
)


@dataclass(frozen=True)
class Letter:
    """One code point and the typefaces that draw it.

    Attributes:
        codepoint: the Unicode scalar value.
        script: first word of the Unicode name, for example `ARMENIAN`.
        typefaces: font file names, in the order of `FILES`.
    """

    codepoint: int
    script: str
    typefaces: tuple[str, ...]

    @property
    def name(self) -> str:
        """The Unicode name, which is unique."""
        return unicodedata.name(chr(self.codepoint))


def folder() -> Path:
    """The folder in which matplotlib keeps its fonts."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def letters(fonts: Path, minimum_typefaces: int) -> list[Letter]:
    """Every letter that enough typefaces draw, in code point order.

    A letter that Unicode spells as another letter plus accents is left out: accents alone make
    poor classes.

    Args:
        fonts: a folder with `FILES`.
        minimum_typefaces: how many of `FILES` must draw a letter, 1 to 16.

    Raises:
        DataError: a font file is missing or damaged.
    """
    drawn_by: dict[int, list[str]] = {}
    for file in FILES:
        for codepoint in _charmap(fonts / file):
            drawn_by.setdefault(codepoint, []).append(file)
    return [
        Letter(codepoint, unicodedata.name(chr(codepoint)).split()[0], tuple(files))
        for codepoint, files in sorted(drawn_by.items())
        if len(files) >= minimum_typefaces and _is_plain_letter(chr(codepoint))
    ]


@lru_cache(maxsize=64)
def load(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    """One typeface at one size.

    Raises:
        DataError: the file is missing or is no font.
    """
    try:
        # From memory: by name, Pillow would take a like-named font of the system for a damaged one.
        content = BytesIO(path.read_bytes())
        return ImageFont.truetype(content, size_px, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise _missing(path, str(error)) from None


def _charmap(path: Path) -> list[int]:
    if not path.is_file():
        raise _missing(path, "not found")
    try:
        return list(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError) as error:
        raise _missing(path, str(error)) from None


def _missing(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: font {what}; source glyphs needs the {len(FILES)} text fonts that matplotlib "
        "ships: reinstall matplotlib"
    )


def _is_plain_letter(character: str) -> bool:
    return (
        unicodedata.category(character).startswith("L")
        and unicodedata.normalize("NFD", character) == character
        and unicodedata.name(character, "") != ""
    )
