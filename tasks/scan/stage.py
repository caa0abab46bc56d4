"""What stage scan does: root of the images -> listing of every file in it, by content.

DVC could watch the root itself, but it stops at a broken link or a name that is no UTF-8, and hangs
at a pipe. So this stage runs every time, and DVC watches the listing.
"""

import logging

from tasks.artifacts.layout import LISTING
from tasks.artifacts.listing import write_listing
from tasks.artifacts.tile_cache import TileCache
from tasks.params import Params
from tasks.progress import Track
from tasks.sources.find import find_images
from tasks.sources.fingerprints import fingerprints

logger = logging.getLogger(__name__)


def scan(params: Params, track: Track) -> None:
    """List what stands in `prepare.root`; files known by their marks are not read again.

    Raises:
        DataError: the root is missing or damaged, or not arranged as needed.
    """
    found = find_images(**params.prepare.finding())
    rows = fingerprints(found, TileCache(), track)
    write_listing(LISTING, rows)
    logger.info("%s: %d images, %d other files", LISTING, len(found.images), len(found.rejected))
