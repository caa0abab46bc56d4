"""Embeddings kept between stages and runs: the same network on the same images embeds once.

A convenience outside DVC, in this user's cache folder. What is kept is named after everything that
shapes it: weights, images, code, versions, processor and threads. So it is what would be computed,
to the bit; whatever is wrong with it costs time, never a result.
"""

import hashlib
import logging
import platform
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import tasks
from tasks.artifacts.user_cache import cache_folder
from tasks.backbones.encoder import Encoder, embed

logger = logging.getLogger(__name__)

LIMIT_BYTES = 5_000_000_000
WORTH_PIXELS = 20_000_000  # seen by the network; less is embedded again in a second or so
_IMAGES_AT_ONCE = 4096  # whole batches of any size, so that chunks have the bits of the whole
_CODE = ("backbones/*.py", "episodes/*.py", "framing/*.py", "randomness.py")
_PACKAGES = ("numpy", "timm", "torch", "torchvision")


def embed_kept(encoder: Encoder, images: NDArray[np.uint8]) -> Tensor:
    """What `embed` gives, computed only where it is not kept.

    Args:
        encoder: left in evaluation mode.
        images: stored images `(image, side, side, channels)`, 0..255.

    Returns:
        Embeddings `(image, width)`, where the encoder is.
    """
    encoder.eval()
    parts = [images[rows] for rows in chunks(len(images))]
    return torch.cat([kept(encoder, some, partial(embed, encoder, some)) for some in parts])


def chunks(images: int) -> list[slice]:
    """The rows that are kept together."""
    return [slice(at, at + _IMAGES_AT_ONCE) for at in range(0, images, _IMAGES_AT_ONCE)]


def kept(
    encoder: Encoder, images: NDArray[np.uint8], make: Callable[[], Tensor], *more: object
) -> Tensor:
    """What `make` gives, which is called only where that is not kept.

    Args:
        encoder: in the mode in which it embeds.
        images: that it is given.
        make: embeds them.
        *more: what shapes the embeddings beside these; told apart by `repr`.
    """
    seen = max(images.shape[1] * images.shape[2], encoder.side_px**2)
    if len(images) * seen < WORTH_PIXELS:
        return make()
    try:
        memory = joblib.Memory(cache_folder() / "embeddings", verbose=0)
    except OSError as error:
        logger.warning("%s: %s; nothing is kept", cache_folder(), error.strerror)
        return make()
    remembered = memory.cache(_made, ignore=["make"])
    key = _key(encoder, images, more)
    known = remembered.check_call_in_cache(key, make)
    found = remembered(key, make)
    if known and _digest(found["embeddings"]) != found["digest"]:
        logger.warning("embeddings that were kept are damaged; they are made anew")
        remembered.call_and_shelve(key, make).clear()
        found = remembered(key, make)
    if not known:
        memory.reduce_size(bytes_limit=LIMIT_BYTES)
    return torch.from_numpy(found["embeddings"]).to(encoder.device)


def _made(key: str, make: Callable[[], Tensor]) -> dict[str, Any]:
    del key  # what joblib keeps the result under
    embeddings = make().cpu().numpy()
    return {"embeddings": embeddings, "digest": _digest(embeddings)}


def _digest(embeddings: NDArray[np.float32]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(embeddings).data, digest_size=16).hexdigest()


def _key(encoder: Encoder, images: NDArray[np.uint8], more: tuple[object, ...]) -> str:
    told = hashlib.blake2b(digest_size=16)
    told.update(
        repr((encoder, encoder.side_px, images.shape, more, _machine(encoder.device))).encode()
    )
    for name, value in encoder.state_dict().items():
        told.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        told.update(value.cpu().contiguous().view(-1).numpy().view(np.uint8).data)
    told.update(np.ascontiguousarray(images).data)
    # What a network does with its weights may depend on what neither they nor its text tell.
    told.update(embed(encoder, images[:1]).cpu().numpy().data)
    return told.hexdigest()


def _machine(device: torch.device) -> tuple[object, ...]:
    numerics = (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads())
    processor = (platform.machine(), torch.backends.cpu.get_cpu_capability())
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return (*_code(), *numerics, *processor, gpu)


@cache
def _code() -> tuple[str, ...]:
    """Versions, and a hash of the code here that embeds."""
    told = hashlib.blake2b(digest_size=16)
    for pattern in _CODE:
        for path in sorted(Path(tasks.__path__[0]).glob(pattern)):
            told.update(path.read_bytes())
    return (told.hexdigest(), *map(_version, _PACKAGES))


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
