"""A set of images larger than the memory that a process may have is prepared and trained on."""

import resource
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import PREPARED, PRETRAINED
from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tests.conftest import ROOT, TINY, merged, write_params

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SIDE_PX = 256
CLASSES, IMAGES = 24, 390
SET_BYTES = CLASSES * IMAGES * SIDE_PX**2 * 3  # 1.8 GB
# Importing torch alone takes 0.8 GB of what this limit counts: private memory, file maps aside.
PREPARE_BYTES, PRETRAIN_BYTES = 400_000_000, 1_600_000_000

CHANGES = {
    "prepare": {
        "source": "image_folder",
        "root": "photos",
        "image_size_px": SIDE_PX,
        "channels": 3,
        "framing": "crop",
        "domains": [],
        "splits": {
            "by": "share",
            "validation_share": 0.0,
            "novel_share": 0.0,
            "base": [],
            "validation": ["0", "1", "2"],
            "novel": ["3", "4", "5"],
        },
    },
    "pretrain": {"epochs": 1, "batch_size": 32},
    "evaluate": {"protocols": [{"domain": "novel", "way": 3, "shot": 1}]},
}


def run_limited(module: str, limit_bytes: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))

    done = subprocess.run(
        [sys.executable, "-m", module],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_memory_stays_bounded_while_the_data_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SET_BYTES > PRETRAIN_BYTES > PREPARE_BYTES
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    (tmp_path / "data/scan").mkdir(parents=True)
    write_params(tmp_path, merged(TINY, CHANGES))
    for index in range(CLASSES):
        folder = tmp_path / "photos" / str(index)
        folder.mkdir(parents=True)
        rng = np.random.default_rng(index)
        for number in range(IMAGES):
            pixels = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
            file = BytesIO()
            pixels.resize((SIDE_PX, SIDE_PX)).save(file, "JPEG", quality=70)
            (folder / f"{number}.jpg").write_bytes(file.getvalue())
    run_limited("tasks.prepare", PREPARE_BYTES)
    images = ImageStore(PREPARED).read("base").images
    assert images.nbytes == (CLASSES - 6) * IMAGES * SIDE_PX**2 * 3
    run_limited("tasks.pretrain", PRETRAIN_BYTES)
    assert (PRETRAINED / "history.csv").is_file()
