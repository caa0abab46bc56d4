"""Fetches torchvision's weights into its cache, whole or not at all."""

import hashlib
import logging
import re
import time
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError

import torch

from tasks.errors import DataError
from tasks.silence import limited_silence

if TYPE_CHECKING:  # torchvision takes seconds to import
    from torchvision.models import WeightsEnum

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_PAUSE_S = 2.0
_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


def fetch(weights: "WeightsEnum") -> Path:
    """The file of the weights, from torchvision's cache or else from where they are published.

    torchvision puts the first digits of the file's SHA-256 into its name; they are checked either
    way. A download that is cut is begun again, under another name until it is whole.

    Args:
        weights: which of torchvision's.

    Raises:
        DataError: it is not in the cache and cannot be downloaded, or is not what it should be;
            the text says which file to put where.
    """
    name = str(weights.url).rsplit("/", maxsplit=1)[-1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    digest = found.group(1) if (found := _DIGEST.search(name)) else ""
    if not path.is_file():
        _download(str(weights.url), path, digest)
    elif not sha256(path).startswith(digest):
        raise DataError(
            f"{path}: found SHA-256 {sha256(path)[:12]}..., needed {digest}..., as its name says; "
            "it is damaged: delete it and run again"
        )
    return path


def sha256(path: Path) -> str:
    """Digest of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url: str, path: Path, digest: str) -> None:
    for left in reversed(range(_ATTEMPTS)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with limited_silence():
                torch.hub.download_url_to_file(url, str(path), digest or None, progress=True)
            return
        # RuntimeError is a wrong checksum: what a cut download looks like, too.
        except (OSError, HTTPException, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            if not left or not _may_pass(error):
                raise DataError(
                    f"{url} cannot be downloaded ({reason}); copy {path.name} into {path.parent}, "
                    "or set pretrain.weights to the path of a file, or to none"
                ) from None
            logger.warning("%s: %s; trying again", url, reason)
            time.sleep(_PAUSE_S)


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may end otherwise: not where nobody answers, or the answer is no."""
    if isinstance(error, HTTPError):
        return error.code >= 500
    cause = error.reason if isinstance(error, URLError) else error
    cut = (RuntimeError, HTTPException, TimeoutError, ConnectionResetError, ConnectionAbortedError)
    return isinstance(cause, cut)
