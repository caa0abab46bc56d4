"""Which letters become classes, and which split each class belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.artifacts.image_store import Rejected
from tasks.errors import DataError
from tasks.framing import Framing, frame_grey
from tasks.sources import glyphs, typefaces
from tasks.sources.typefaces import Letter

LOOKS_SIDE_PX = 28  # letters are compared at this size, whatever size the store has


@dataclass(frozen=True)
class ScriptSplits:
    """The letters of each split, and the look-alikes that were left out."""

    letters: Mapping[str, Sequence[Letter]]
    rejected: Sequence[Rejected]


def split_by_script(
    fonts: Path,
    scripts: Mapping[str, Sequence[str]],
    *,
    minimum_typefaces: int,
    maximum_similarity: float,
) -> ScriptSplits:
    """Choose visually distinct letters, whole scripts to a split.

    Of letters that look alike the first stays, in the order of the splits and scripts given: base
    before novel, so that no novel class looks like one that was trained on.

    Args:
        fonts: folder with the typefaces.
        scripts: split -> scripts, in order of precedence; a script is the first word of the
            Unicode names of its letters.
        minimum_typefaces: how many typefaces must draw a letter.
        maximum_similarity: cosine of two letters' ink from which they count as look-alikes.

    Raises:
        DataError: a font is missing, or a script has no letter that enough typefaces draw.
    """
    candidates = typefaces.letters(fonts, minimum_typefaces)
    found = {letter.script for letter in candidates}
    ordered, split_of = [], {}
    for split, names in scripts.items():
        for script in names:
            if script not in found:
                raise DataError(
                    f"prepare.{split}_scripts: script {script} has no letter that "
                    f"{minimum_typefaces} typefaces draw; there are {', '.join(sorted(found))}"
                )
            split_of[script] = split
            ordered += [letter for letter in candidates if letter.script == script]
    framed = frame_grey(Framing("ink", LOOKS_SIDE_PX, 1), glyphs.render_plain(ordered, fonts))
    looks = (glyphs.PAPER - framed.reshape(len(ordered), -1)).astype(np.float32)
    kept = set(glyphs.distinct(looks, maximum_similarity).tolist())
    letters: dict[str, list[Letter]] = {split: [] for split in scripts}
    for index in sorted(kept):
        letters[split_of[ordered[index].script]].append(ordered[index])
    reason = f"looks like an earlier letter (cosine at least {maximum_similarity})"
    rejected = [
        Rejected(letter.name, f"U+{letter.codepoint:04X}", reason)
        for index, letter in enumerate(ordered)
        if index not in kept
    ]
    return ScriptSplits(letters, rejected)
