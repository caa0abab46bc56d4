"""Where this user's caches lie: framed images, embeddings, what the teach page is built of."""

import os
from pathlib import Path

import platformdirs

FOLDER_VARIABLE = "HEADSTART_CACHE"


def cache_folder() -> Path:
    """`HEADSTART_CACHE`, or the system's place for caches; need not exist."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("headstart"))
