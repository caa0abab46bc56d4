"""What stage prepare does: source -> image store."""

import logging

from tasks.artifacts.files import complete_folder
from tasks.artifacts.image_store import SPLITS, write_image_store
from tasks.artifacts.layout import PREPARED
from tasks.framing import Framing
from tasks.params import Params
from tasks.prepare.rendering import frame_digits, render_part, rendering_pool
from tasks.prepare.splits import split_by_script
from tasks.progress import Track
from tasks.sources import digits, typefaces

logger = logging.getLogger(__name__)


def prepare(params: Params, track: Track) -> None:
    """Render the glyphs, frame them and the digits, and write the image store.

    Raises:
        DataError: a font or a script is missing.
        ParametersError: no episode of some protocol can be drawn from these classes.
    """
    section = params.prepare
    fonts = typefaces.folder()
    splits = split_by_script(
        fonts,
        {split: getattr(section, f"{split}_scripts") for split in SPLITS},
        minimum_typefaces=section.minimum_typefaces,
        maximum_similarity=section.maximum_similarity,
    )
    handwriting, digit_labels = digits.load()
    framing = Framing(section.framing, section.image_size_px, section.channels)
    parts = {}
    if "digits" in section.domains:
        parts["digits"] = frame_digits(handwriting, digit_labels, framing)
    counts = {
        split: [section.samples_per_class] * len(letters)
        for split, letters in splits.letters.items()
    }
    params.check_episodes(
        counts | {name: [one.images for one in part.classes] for name, part in parts.items()}
    )
    for split, letters in splits.letters.items():
        logger.info("%s: %d letters", split, len(letters))
    with complete_folder(PREPARED) as folder:
        with rendering_pool() as pool:
            rendered = {
                split: render_part(
                    letters,
                    fonts,
                    framing,
                    pool,
                    track,
                    label=f"rendering {split}",
                    seed=params.seed,
                    samples=section.samples_per_class,
                )
                for split, letters in splits.letters.items()
            }
        description = {
            "source": section.source,
            "framing": section.framing,
            "image_size_px": section.image_size_px,
            "channels": section.channels,
            "seed": params.seed,
        }
        write_image_store(folder, {**rendered, **parts}, description, splits.rejected)
    logger.info(
        "%s: %d images in %d classes; %d look-alikes left out",
        PREPARED,
        sum(len(part.images) for part in (*rendered.values(), *parts.values())),
        sum(len(part.classes) for part in (*rendered.values(), *parts.values())),
        len(splits.rejected),
    )
