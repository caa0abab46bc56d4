"""What stage prepare does: source -> image store."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.artifacts.files import complete_folder
from tasks.artifacts.image_store import REJECTED, Rejected, write_manifest
from tasks.artifacts.layout import PREPARED
from tasks.params import Params
from tasks.prepare.splits import Splitting, too_small
from tasks.progress import Track

logger = logging.getLogger(__name__)

Entries = dict[str, dict[str, Any]]
Check = Callable[[Mapping[str, list[tuple[str, int]]]], None]


def prepare(params: Params, track: Track) -> None:
    """Bring the images of the source into the image store.

    Raises:
        DataError: the source is missing or damaged, or too many of its images cannot be used.
        MovedInputsError: the images changed since stage scan looked through them.
        ParametersError: no episode of some protocol can be drawn from these classes, or a list of
            splits names what there is not.
    """
    section = params.prepare
    with complete_folder(PREPARED) as folder:
        domains = _write_domains(folder, params)
        sizes = {name: _sizes(entry) for name, entry in domains.items()}

        def check(classes: Mapping[str, list[tuple[str, int]]]) -> None:
            params.check_episodes({**classes, **sizes})

        write = _write_letters if section.source == "glyphs" else _write_found
        entries, rejected = write(folder, params, check, track)
        check({name: _sizes(entry) for name, entry in entries.items()})
        description = {
            "source": section.source,
            "framing": section.framing,
            "image_size_px": section.image_size_px,
            "channels": section.channels,
            "seed": params.seed,
        }
        entries |= domains
        write_manifest(folder, entries, description, rejected)
    counts = {
        part: [(one["name"], one["images"]) for one in entry["classes"]]
        for part, entry in entries.items()
    }
    for line in too_small(counts, params.images_needed()):
        logger.warning("%s", line)
    for name, entry in entries.items():
        logger.info("%s: %d images of %d classes", name, entry["images"], len(entry["classes"]))
    logger.info("%d left out, each with its reason in %s", len(rejected), PREPARED / REJECTED)


# torch is imported by what frames glyphs and digits alone: photographs do without.


def _write_domains(folder: Path, params: Params) -> Entries:
    if "digits" not in params.prepare.domains:
        return {}
    from tasks.prepare.letters import write_digits

    section = params.prepare
    framing = (section.framing, section.image_size_px, section.channels)
    return {"digits": write_digits(folder, *framing)}


def _write_letters(
    folder: Path, params: Params, check: Check, track: Track
) -> tuple[Entries, list[Rejected]]:
    from tasks.prepare.letters import split_by_script, write_letters
    from tasks.sources.typefaces import folder as typefaces

    section = params.prepare
    samples = section.glyphs.samples_per_class
    splits = split_by_script(
        typefaces(),
        section.splits.lists,
        minimum_typefaces=section.glyphs.minimum_typefaces,
        maximum_similarity=section.glyphs.maximum_similarity,
        rotated_classes=section.glyphs.rotated_classes,
    )
    check(
        {
            split: [(letter.script, samples) for letter, _ in splits.classes(split)]
            for split in splits.letters
        }
    )
    framing = (section.framing, section.image_size_px, section.channels)
    entries = write_letters(
        folder, splits, track, samples=samples, framing=framing, seed=params.seed
    )
    return entries, list(splits.rejected)


def _write_found(
    folder: Path, params: Params, check: Check, track: Track
) -> tuple[Entries, list[Rejected]]:
    from tasks.prepare.decoding import TileSpec
    from tasks.prepare.images import write_found
    from tasks.sources.find import find_images

    section = params.prepare
    return write_found(
        folder,
        find_images(**section.finding()),
        check,
        track,
        spec=TileSpec(
            section.framing, section.image_size_px, section.channels, section.maximum_image_pixels
        ),
        splitting=Splitting(
            section.splits.by,
            section.splits.shares,
            section.splits.lists,
            section.splits.minimum_images,
            params.seed,
            # Omniglot owns its halves; of a table's word params.yaml decides.
            trusts_source=section.source == "omniglot" or section.splits.by == "table",
        ),
        max_rejected_share=section.max_rejected_share,
        watched=bool(section.watch),
    )


def _sizes(entry: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(one["group"], one["images"]) for one in entry["classes"]]
