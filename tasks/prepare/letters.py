"""Letters as classes: which of them, in which split, rendered and written to the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.image_store import Rejected, write_part
from tasks.errors import DataError
from tasks.framing.graph import Framing, frame_grey
from tasks.prepare.rendering import frame_digits, render_part, rendering_pool
from tasks.progress import Track
from tasks.sources import digits, glyphs, typefaces
from tasks.sources.quarter_turns import QUARTER_TURNS, UPRIGHT, Turned, turned_name
from tasks.sources.typefaces import Letter

LOOKS_SIDE_PX = 28  # letters are compared at this size, whatever size the store has
LOOKS_TYPEFACES = 4  # and by their mean over so many typefaces


Frame = tuple[Literal["ink", "crop"], int, Literal[1, 3]]


@dataclass(frozen=True)
class ScriptSplits:
    """The classes of each split.

    Attributes:
        letters: split -> letters.
        turned: letter of base -> how it is turned to make further classes of base.
        rejected: the look-alikes that were left out.
    """

    letters: Mapping[str, Sequence[Letter]]
    turned: Mapping[Letter, Sequence[Turned]]
    rejected: Sequence[Rejected]

    def classes(self, split: str) -> list[tuple[Letter, Turned]]:
        """Its letters as they stand, and what is made by turning them, letter by letter."""
        return [
            (letter, turned)
            for letter in self.letters[split]
            for turned in (UPRIGHT, *self.turned.get(letter, ()))
        ]


def write_letters(
    folder: Path,
    splits: ScriptSplits,
    track: Track,
    *,
    samples: int,
    framing: Frame,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Render the letters of all splits, and write a part of the store for each.

    Args:
        folder: of the store.
        splits: which letters.
        track: shows progress.
        samples: images of each letter.
        framing: mode, side and channels of a stored image.
        seed: `seed` of `params.yaml`.

    Returns:
        The parts' entries for the manifest.

    Raises:
        DataError: a font is missing.
    """
    fonts = typefaces.folder()
    entries = {}
    with rendering_pool() as pool:
        for split in splits.letters:
            part = render_part(
                splits.classes(split),
                fonts,
                Framing(*framing),
                pool,
                track,
                label=f"rendering {split}",
                seed=seed,
                samples=samples,
            )
            entries[split] = write_part(folder, split, part)
    return entries


def write_digits(
    folder: Path, mode: Literal["ink", "crop"], size_px: int, channels: Literal[1, 3]
) -> dict[str, Any]:
    """Write scikit-learn's handwritten digits as part `digits`; returns its manifest entry."""
    part = frame_digits(*digits.load(), Framing(mode, size_px, channels))
    return write_part(folder, "digits", part)


def split_by_script(
    fonts: Path,
    scripts: Mapping[str, Sequence[str]],
    *,
    minimum_typefaces: int,
    maximum_similarity: float,
    rotated_classes: bool,
) -> ScriptSplits:
    """Choose visually distinct letters, whole scripts to a split.

    Of letters that look alike, averaged over several typefaces, the first stays, in the order of
    the splits and scripts given: base before novel, so that no novel class looks like one that was
    trained on. Turned letters come last, for the same reason.

    Args:
        fonts: folder with the typefaces.
        scripts: split -> scripts, in order of precedence; a script is the first word of the
            Unicode names of its letters.
        minimum_typefaces: how many typefaces must draw a letter.
        maximum_similarity: cosine of two letters' ink from which they count as look-alikes.
        rotated_classes: a letter of base makes further classes when turned by 90, 180 and 270
            degrees.

    Raises:
        DataError: a font is missing, or a script has no letter that enough typefaces draw.
    """
    candidates = typefaces.letters(fonts, minimum_typefaces)
    split_of = {script: split for split, names in scripts.items() for script in names}
    _check_known(split_of, candidates, minimum_typefaces)
    foreign = {
        letter: script
        for letter in candidates
        if letter.script in split_of and (script := _foreign_script(letter, split_of))
    }
    rejected = [
        _rejected(letter, UPRIGHT, f"its name holds the script of another split ({script})")
        for letter, script in foreign.items()
    ]
    ordered = [
        letter
        for script in split_of
        for letter in candidates
        if letter.script == script and letter not in foreign
    ]
    looks = _looks(ordered, fonts)
    kept = glyphs.distinct(looks, maximum_similarity)
    alike = f"looks like an earlier letter (cosine at least {maximum_similarity})"
    letters: dict[str, list[Letter]] = {split: [] for split in scripts}
    for at in kept:
        letters[split_of[ordered[at].script]].append(ordered[at])
    distinct = set(kept.tolist())
    rejected += [
        _rejected(letter, UPRIGHT, alike) for at, letter in enumerate(ordered) if at not in distinct
    ]
    turned: dict[Letter, list[Turned]] = {}
    if rotated_classes:
        of_base = [at for at in kept if split_of[ordered[at].script] == "base"]
        turned = _turned(letters["base"], looks[of_base], looks[kept], maximum_similarity)
        rejected += [
            _rejected(letter, turn, alike)
            for letter in letters["base"]
            for turn in QUARTER_TURNS
            if turn not in turned[letter]
        ]
    return ScriptSplits(letters, turned, rejected)


def _turned(
    base: Sequence[Letter],
    looks: NDArray[np.float32],
    others: NDArray[np.float32],
    maximum_similarity: float,
) -> dict[Letter, list[Turned]]:
    """How each letter is turned to look like no letter and like none turned before it.

    Args:
        base: letters that are turned.
        looks: theirs, `(letter, pixels)`.
        others: looks of all letters that are kept, `(letter, pixels)`.
        maximum_similarity: as for `split_by_script`.
    """
    upright = looks.reshape(-1, LOOKS_SIDE_PX, LOOKS_SIDE_PX)
    views = [np.rot90(upright, turn // 90, axes=(1, 2)) for turn in QUARTER_TURNS]
    every = np.stack(views, axis=1).reshape(-1, looks.shape[1])
    turned: dict[Letter, list[Turned]] = {letter: [] for letter in base}
    for at in glyphs.distinct(every, maximum_similarity, beside=others):
        turned[base[at // len(views)]].append(QUARTER_TURNS[at % len(views)])
    return turned


def _rejected(letter: Letter, turned: Turned, reason: str) -> Rejected:
    return Rejected(turned_name(letter.name, turned), f"U+{letter.codepoint:04X}", reason)


def _check_known(split_of: Mapping[str, str], letters: Sequence[Letter], typefaces: int) -> None:
    found = {letter.script for letter in letters}
    for script, split in split_of.items():
        if script not in found:
            raise DataError(
                f"prepare.splits.{split}: script {script} has no letter that {typefaces} "
                f"typefaces draw; there are {', '.join(sorted(found))}"
            )


def _foreign_script(letter: Letter, split_of: Mapping[str, str]) -> str | None:
    """A script of another split in the letter's name, such as LATIN SMALL LETTER GREEK ..."""
    words = letter.name.split()
    own = split_of[letter.script]
    return next((word for word in words if split_of.get(word, own) != own), None)


def _looks(letters: Sequence[Letter], fonts: Path) -> NDArray[np.float32]:
    """Mean ink of each letter over several typefaces, framed, `(letter, pixels)`; 0 is paper."""
    framing = Framing("ink", LOOKS_SIDE_PX, 1)
    looks = np.zeros((len(letters), LOOKS_SIDE_PX**2), np.float32)
    for face in range(LOOKS_TYPEFACES):
        framed = frame_grey(framing, glyphs.render_plain(letters, fonts, face))
        looks += (glyphs.PAPER - framed.reshape(len(letters), -1)) / LOOKS_TYPEFACES
    return looks
