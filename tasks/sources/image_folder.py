"""Images in folders: the folder an image stands in is its class, the folders above its group."""

from collections.abc import Collection, Mapping
from itertools import takewhile

from tasks.artifacts.image_files import SUFFIXES
from tasks.artifacts.image_store import Rejected
from tasks.errors import DataError
from tasks.sources.found import Found, FoundImage
from tasks.sources.names import alike_notes, listing, name_classes, shown
from tasks.trees.tree import Leaf, Refusal, Tree, printable

NEEDED = (
    "a folder for each class with its images inside, CLASS/IMAGE or GROUP/CLASS/IMAGE, "
    f"each ending in {', '.join(SUFFIXES)}"
)

_IMAGE_SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")
_NO_CLASS = "stands in no class folder"
_NO_LABEL = "stands in no class folder of a split whose neighbours have some: an image unlabelled"

Pair = tuple[str, str]  # raw group and raw class


def arrange(tree: Tree) -> Found:
    """Give every image of a tree its class and group.

    One folder around everything is passed through. Folders train, val, test and the like that
    repeat the same classes split images, not classes: their classes are merged.

    Raises:
        DataError: no image in any folder, or a folder holds images beside folders with images.
    """
    leaves: list[Leaf] = []
    refusals: list[Refusal] = []
    for one in tree.walk():
        if isinstance(one, Leaf):
            leaves.append(one)
        else:
            refusals.append(one)
    folders = {_folder(leaf.path) for leaf in leaves}
    _check_layout(tree.root, folders, leaves, refusals)
    pairs, notes = _pairs(folders)
    names = name_classes(pair for pair in pairs.values() if pair is not None)
    identities = {folder: _identity(folder) for folder in folders}
    images = []
    rejected = []
    lost = sum(refusal.counts for refusal in refusals)
    for leaf in leaves:
        folder = _folder(leaf.path)
        if (pair := pairs[folder]) is not None:
            image = FoundImage(
                leaf.path,
                leaf.mark,
                *names[pair],
                identity=identities[folder],
                size_bytes=leaf.size_bytes,
            )
            images.append(image)
        else:
            reason = _NO_LABEL if folder else _NO_CLASS
            rejected.append(Rejected(printable(folder), printable(leaf.path), reason))
            lost += not folder
    for refusal in refusals:
        folder = _folder(refusal.path)
        pair = pairs.get(folder)
        name = names[pair][0] if pair is not None else printable(folder)
        rejected.append(Rejected(name, printable(refusal.path), refusal.reason))
    if not tree.sequential:
        sort_images(images)
    notes += alike_notes(name for name, _ in names.values())
    return Found(tree, images, rejected, lost, notes)


def sort_images(images: list[FoundImage]) -> None:
    """Sort in place by class name, then path."""
    images.sort(key=lambda image: image.path)  # twice, as a million pairs to compare are many
    images.sort(key=lambda image: image.class_name)


def _identity(folder: str) -> str:
    """A class's own name and those above it, the same whatever stands beside them.

    The name that people see leaves out a folder around everything, and that of an image split.
    """
    *above, own = printable(folder).split("/")
    return "/".join([*(name for name in above if name.lower() not in _IMAGE_SPLITS), own])


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _check_layout(
    root: str, folders: Collection[str], leaves: Collection[Leaf], refusals: Collection[Refusal]
) -> None:
    if not any(folders):
        found = f"{len(leaves):,} images, all directly in it" if leaves else _without(refusals)
        raise DataError(f"{shown(root)}: found {found}; needed {NEEDED}")
    mixed = set()
    for folder in folders:
        above = _folder(folder)
        while above and above not in mixed:
            if above in folders:
                mixed.add(above)
            above = _folder(above)
    if mixed:
        raise DataError(
            f"{shown(root)}: found images beside folders with images in {len(mixed):,} folders: "
            f"{listing(mixed)}; needed a folder either to be a class, with images alone, or to "
            "hold classes: move those images into a folder of their own"
        )


def _without(refusals: Collection[Refusal]) -> str:
    lost = [refusal for refusal in refusals if refusal.counts]
    if lost:
        first = f"{shown(lost[0].path)}: {lost[0].reason}"
        return f"{len(refusals):,} files and folders, none that can be used, the first {first}"
    return f"{len(refusals):,} files, none with an image's suffix" if refusals else "no file at all"


def _pairs(folders: Collection[str]) -> tuple[Mapping[str, Pair | None], list[str]]:
    """Raw group and class of each folder with images; None where it stands for no class."""
    parts = {folder: folder.split("/") for folder in folders if folder}
    notes = []
    around: list[str] = []
    if len(parts) == len(folders):
        # One folder's own name is its class.
        ends = zip(min(parts.values()), max(parts.values()), strict=False)
        common = [name for name, _ in takewhile(lambda pair: pair[0] == pair[1], ends)]
        around = common[: min(map(len, parts.values())) - 1]
    if around:
        notes.append(f"everything stands in {shown('/'.join(around))}, which is passed through")
    below = {folder: names[len(around) :] for folder, names in parts.items()}
    splits = _image_splits(below.values())
    if splits:
        notes.append(
            f"{listing(splits)} hold images of the same classes, which are merged: here classes "
            "are split, not images"
        )
    pairs: dict[str, Pair | None] = {"": None}
    for folder, names in below.items():
        rest = names[1:] if names[0] in splits else names
        pairs[folder] = ("/".join(rest[:-1]), rest[-1]) if rest else None
    return pairs, notes


def _image_splits(folders: Collection[list[str]]) -> set[str]:
    """Folders at the top that split the images of the same classes; empty where none do."""
    classes: dict[str, set[str]] = {}
    for names in folders:
        if names[0].lower() in _IMAGE_SPLITS:
            classes.setdefault(names[0], set()).add("/".join(names[1:]))
    inside = [one for held in classes.values() for one in held if one]
    repeated = len(set(inside)) < len(inside)
    # Images without classes beside the classes of another split: a test set without labels.
    unlabelled = bool(inside) and any("" in held for held in classes.values())
    return set(classes) if repeated or unlabelled else set()
