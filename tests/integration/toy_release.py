"""A stage of a project to release from: `python toy_release.py prepare|export`.

`quality.txt` says how many of the encoder's features count, and so how good the bundle is;
`classes.txt` how many novel classes there are.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.files import complete_folder, sha256, write_json
from tasks.artifacts.golden import read_golden, write_golden
from tasks.artifacts.image_store import ImageClass, Part, write_image_store
from tasks.artifacts.layout import BUNDLE, PREPARED
from tasks.command import stage_command
from tasks.errors import DataError
from tasks.params import Params
from tasks.progress import Track

LAST_WEIGHTS = "encoder.backbone.blocks.3.0.weight"
stage = sys.argv.pop(1)


def strokes(prefix: str, classes: int, images: int = 12, side: int = 16) -> Part:
    """Classes of a few dark pixels each, moved about and under noise."""
    seed = int.from_bytes(hashlib.sha256(prefix.encode()).digest()[:4])
    rng = np.random.default_rng(seed)
    pixels = np.empty((classes * images, side, side, 1), np.uint8)
    for index in range(classes):
        shape = rng.random((side, side)) < 0.12 + 0.3 * index / classes
        for image in range(images):
            moved = np.roll(shape, rng.integers(-1, 2, 2), (0, 1)) ^ (
                rng.random(shape.shape) < 0.05
            )
            pixels[index * images + image, ..., 0] = np.where(moved, 20, 235)
    names = tuple(ImageClass(f"{prefix} {index}", "strokes", images) for index in range(classes))
    return Part(pixels, np.repeat(np.arange(classes), images), names)


def prepare(params: Params, track: Track) -> None:
    classes = int(Path("classes.txt").read_text())
    parts = {name: strokes(name, 5) for name in ("base", "validation", "digits")}
    parts["novel"] = strokes("novel", classes)
    told = {"source": "strokes", "framing": "ink", "image_size_px": 16, "channels": 1, "seed": 1}
    with complete_folder(PREPARED) as partial:
        write_image_store(partial, parts, told, [])


def export(params: Params, track: Track) -> None:
    text = Path("quality.txt").read_text().strip()
    if not text.isdecimal():
        raise DataError(f"quality.txt: found {text!r}, needed a number")
    features = int(text)
    with complete_folder(BUNDLE) as partial:
        shutil.copytree("golden", partial, dirs_exist_ok=True)
        examples = read_golden(Bundle(partial))
        model = onnx.load(partial / "encoder.onnx")
        for tensor in model.graph.initializer:
            if tensor.name.startswith(LAST_WEIGHTS):
                values = numpy_helper.to_array(tensor).copy()
                values[features:] = 0
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        onnx.save(model, partial / "encoder.onnx")
        sign(partial, params.export.name)
        changed = Bundle(partial)
        for example in examples["encoder"]:
            example.update(changed.run("encoder", {"images": example["images"]}))
        write_golden(partial / "golden.npz", examples)
        sign(partial, params.export.name)


def sign(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["name"] = name
    for file, entry in manifest["files"].items():
        entry["sha256"] = sha256(folder / file)
        if "bytes" in entry:
            entry["bytes"] = (folder / file).stat().st_size
    write_json(folder / "manifest.json", manifest)


stage_command(stage, f"The stage {stage}.", {"prepare": prepare, "export": export}[stage])
