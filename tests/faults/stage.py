"""A stage of the project under fault: `python stage.py prepare|train|export`.

Each writes in several steps, so that there are moments of every kind to be killed at. All that it
writes follows from `source.txt`, so that two clean runs leave the same bytes. `hang-STAGE` makes a
stage wait for ever.
"""

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from tasks.artifacts.files import complete_folder, sha256, write_json
from tasks.artifacts.image_store import ImageClass, Part, write_image_store
from tasks.artifacts.layout import BUNDLE, PREPARED
from tasks.command import stage_command
from tasks.params import Params
from tasks.progress import Track

TRAINED = Path("outputs/train")
STEPS = 6
STEP_S = 0.08
stage = sys.argv.pop(1)


def strokes(name: str, classes: int, text: str) -> Part:
    """Noise of its own for each source text, around a shape of its own for each class."""
    seed = int.from_bytes(hashlib.sha256(f"{name} {text}".encode()).digest()[:4])
    rng = np.random.default_rng(seed)
    shapes = np.random.default_rng(len(name)).random((classes, 1, 16, 16, 1)) < 0.3
    noisy = shapes ^ (rng.random((classes, 12, 16, 16, 1)) < 0.05)
    pixels = np.where(noisy, 20, 235).astype(np.uint8).reshape(-1, 16, 16, 1)
    names = tuple(ImageClass(f"{name} {index}", "strokes", 12) for index in range(classes))
    return Part(pixels, np.repeat(np.arange(classes), 12), names)


def prepare(params: Params, track: Track) -> None:
    text = Path("source.txt").read_text()
    told = {"source": "strokes", "framing": "ink", "image_size_px": 16, "channels": 1, "seed": 1}
    with complete_folder(PREPARED) as partial:
        parts = {}
        for name in ("base", "validation", "novel", "digits"):
            parts[name] = strokes(name, 6 if name == "novel" else 5, text)
            pause()
        write_image_store(partial, parts, told, [])
        pause()


def train(params: Params, track: Track) -> None:
    read = sha256(PREPARED / "manifest.json") + Path("source.txt").read_text()
    with complete_folder(TRAINED) as partial:
        for step in range(STEPS):
            rng = np.random.default_rng(int.from_bytes(read.encode()[:6]) + step)
            (partial / f"weights-{step}.bin").write_bytes(read.encode() + rng.bytes(65536))
            pause()


def export(params: Params, track: Track) -> None:
    read = (TRAINED / "weights-0.bin").read_bytes()
    with complete_folder(BUNDLE) as partial:
        for file in sorted(Path("golden").iterdir()):
            shutil.copy(file, partial)
            pause()
        manifest = json.loads((partial / "manifest.json").read_text())
        manifest["name"] = f"glyphs-{hashlib.sha256(read).hexdigest()[:8]}"
        write_json(partial / "manifest.json", manifest)


def pause() -> None:
    while Path(f"hang-{stage}").exists():
        time.sleep(0.05)
    time.sleep(STEP_S)


stage_command(
    stage, f"The stage {stage}.", {"prepare": prepare, "train": train, "export": export}[stage]
)
