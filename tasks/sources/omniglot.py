"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each.

Source: B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum, Human-level concept learning through
probabilistic program induction, Science 350, 2015; in the folders of its `images_background.zip`
and `images_evaluation.zip`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tasks.artifacts.files import complete_folder
from tasks.artifacts.image_store import Rejected
from tasks.errors import DataError
from tasks.silence import limited_silence
from tasks.sources.found import Found, FoundImage
from tasks.sources.image_folder import sort_images
from tasks.sources.names import alike_notes, listing, name_classes, shown
from tasks.sources.quarter_turns import QUARTER_TURNS, turned_name
from tasks.trees.joined_tree import JoinedTree
from tasks.trees.open_tree import open_tree
from tasks.trees.tree import Leaf, Refusal, Tree, printable

BACKGROUND = "images_background"
EVALUATION = "images_evaluation"

_NEEDED = (
    f"needed {BACKGROUND} and {EVALUATION}, as folders ALPHABET/CHARACTER/IMAGE.png or as their "
    "original zip files; or name an empty folder to download them to"
)
_ELSEWHERE = f"stands in no ALPHABET/CHARACTER folder of {BACKGROUND} or {EVALUATION}"
_ARCHIVES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz")


class _Place(NamedTuple):
    """Where a drawing stands, as its path spells it."""

    above: str
    half: str
    alphabet: str
    character: str


def find(root: str, *, rotated_classes: bool) -> Found:
    """Find the drawings below a root; a local folder that is empty or missing is filled first.

    Args:
        root: a folder or an archive with the two halves, or a folder with their two zip files.
        rotated_classes: as for `arrange`.

    Raises:
        DataError: there are none, or they cannot be downloaded.
    """
    if "://" not in root and _is_empty(Path(root)):
        _download(Path(root))
    tree = open_tree(root)
    entries = list(tree.walk())
    if not any(isinstance(one, Leaf) and _place(one.path) for one in entries):
        zips = [
            one.path
            for one in entries
            if one.path.rpartition("/")[2] in (f"{BACKGROUND}.zip", f"{EVALUATION}.zip")
        ]
        if zips:
            tree = JoinedTree(
                tree.root, {path: open_tree(f"{root.rstrip('/')}/{path}") for path in zips}
            )
            entries = list(tree.walk())
    return arrange(tree, entries, rotated_classes=rotated_classes)


def arrange(tree: Tree, entries: Iterable[Leaf | Refusal], *, rotated_classes: bool) -> Found:
    """Give every drawing its character and alphabet.

    Characters of `images_evaluation` are novel, where `images_background` is there to learn from.

    Args:
        tree: holds one or both halves, below as many folders as it likes.
        entries: what its `walk` gives.
        rotated_classes: every character turned by 90, 180 and 270 degrees makes three more, of
            which prepare keeps those that train.

    Raises:
        DataError: there are no drawings, or a half or an alphabet is there twice.
    """
    leaves: list[tuple[Leaf, _Place]] = []
    refused: list[tuple[str, str, bool]] = []
    above: defaultdict[str, set[str]] = defaultdict(set)
    for one in entries:
        place = _place(one.path)
        if isinstance(one, Refusal):
            refused.append((one.path, one.reason, one.counts))
        elif place is None:
            refused.append((one.path, _ELSEWHERE, False))
        else:
            leaves.append((one, place))
            above[place.half].add(place.above)
    root = shown(tree.root)
    if not leaves:
        raise DataError(f"{root}: found no drawing among {len(refused):,} files; {_NEEDED}")
    _check_halves(root, above, {place for _, place in leaves})
    names = name_classes((place.alphabet, place.character) for _, place in leaves)
    images = [
        FoundImage(
            leaf.path,
            leaf.mark,
            *names[place.alphabet, place.character],
            "novel" if place.half == EVALUATION and len(above) == 2 else None,
        )
        for leaf, place in leaves
    ]
    if rotated_classes:
        images = _with_turned(root, images)
    if not tree.sequential:
        sort_images(images)
    rejected = [Rejected("", printable(path), reason) for path, reason, _ in refused]
    notes = [] if len(above) == 2 else [f"only {listing(above)} is there: no class is novel by it"]
    notes += alike_notes(image.class_name for image in images)
    return Found(tree, images, rejected, sum(counts for *_, counts in refused), notes)


def _place(path: str) -> _Place | None:
    *above, half, alphabet, character, _ = ["", "", "", *path.split("/")]
    if half not in (BACKGROUND, EVALUATION):
        return None
    return _Place("/".join(above[3:]), half, alphabet, character)


def _check_halves(root: str, above: Mapping[str, set[str]], places: Iterable[_Place]) -> None:
    for half, folders in above.items():
        if len(folders) > 1:
            raise DataError(
                f"{root}: found {half} in {len(folders)} places: "
                f"{listing(folder or '.' for folder in folders)}; needed one"
            )
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for place in places:
        homes[place.alphabet].add(place.half)
    twice = [alphabet for alphabet, halves in homes.items() if len(halves) > 1]
    if twice:
        raise DataError(
            f"{root}: found alphabets in both halves: {listing(twice)}; needed each in one of "
            f"{BACKGROUND} and {EVALUATION}, or novel classes are not novel"
        )


def _with_turned(root: str, images: Sequence[FoundImage]) -> list[FoundImage]:
    """Each image and its turned ones after it, as a packed tar wants them."""
    upright = {image.class_name for image in images}
    turned = {(name, turn): turned_name(name, turn) for name in upright for turn in QUARTER_TURNS}
    if taken := upright & {*turned.values()}:
        raise DataError(f"{root}: found {listing(taken)}; needed another name, turned ones get it")
    every = []
    for one in images:
        every.append(one)
        for turn in QUARTER_TURNS:
            name = turned[one.class_name, turn]
            identity = one.identity or one.class_name  # turned or not, it is on one side
            every.append(replace(one, class_name=name, turned_deg=turn, identity=identity))
    return every


def _is_empty(root: Path) -> bool:
    """Whether there is a folder to be filled; a missing archive was meant to be one."""
    try:
        if not root.exists():
            return root.suffix.lower() not in _ARCHIVES
        return root.is_dir() and not any(root.iterdir())
    except OSError:
        return False  # opening it says what is wrong


def _download(root: Path) -> None:
    """Fill a folder that is empty or missing, wholly or not at all."""
    from torchvision.datasets import Omniglot

    try:
        with complete_folder(root.resolve()) as partial, limited_silence():
            for background in (True, False):
                Omniglot(str(partial), background=background, download=True)
    except Exception as error:  # downloads, checks and unpacking fail in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{shown(str(root))}: found no drawing, and none could be downloaded from "
            f"{Omniglot.download_url_prefix} ({reason}); {_NEEDED}"
        ) from None
