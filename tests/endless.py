"""Work that a worker is never done with, or that it cannot do."""

import os
import time
from pathlib import Path

from tasks.episodes.sampler import Episodes
from tasks.errors import DataError


def endless(part: Episodes) -> None:
    Path(f"at-work-{os.getpid()}").touch()
    time.sleep(600)


def faulty(part: Episodes) -> None:
    raise DataError("found nothing, needed something")
