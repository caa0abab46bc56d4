"""Preparing photographs, against the plain floor: Pillow in two processes on the same files.

`HEADSTART_BENCH_IMAGES` changes how many images there are.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import PREPARED
from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.prepare.stage import prepare
from tasks.progress import untracked
from tests.benchmarks.plain import decode
from tests.benchmarks.turns import Figure, compared, taking_turns
from tests.conftest import TINY, merged, write_params

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

IMAGES = int(os.environ.get("HEADSTART_BENCH_IMAGES", "20000"))
PER_CLASS, COPIES = 100, 10
SIDE_PX = 64
ROUNDS = 2
PROCESSES = 2

CHANGES = {
    "prepare": {
        "source": "image_folder",
        "root": "photos",
        "image_size_px": SIDE_PX,
        "channels": 3,
        "framing": "crop",
        "domains": [],
        "splits": {"by": "share", "base": [], "validation": [], "novel": []},
    },
    "evaluate": {"protocols": [{"domain": "novel", "way": 3, "shot": 1}]},
}


def _write_class(number: int) -> None:
    """JPEGs of 256 px with the grain of photographs, 20 kB each; of every ten, nine are shifted."""
    folder = Path("photos") / f"class {number:04d}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    for first in range(0, PER_CLASS, COPIES):
        layers = [
            np.asarray(
                Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize(
                    (256, 256), Image.Resampling.BICUBIC
                ),
                np.float32,
            )
            for side in (6, 64)
        ]
        noise = rng.normal(0, 6, (256, 256, 3))
        pixels = (0.7 * layers[0] + 0.3 * layers[1] + noise).clip(0, 255).astype(np.uint8)
        for copy in range(COPIES):
            shifted = Image.fromarray(np.roll(pixels, 8 * copy, axis=1))
            (folder / f"{first + copy:03d}.jpg").write_bytes(_jpeg(shifted))


def _jpeg(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("speed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(FOLDER_VARIABLE, str(folder / "cache"))
        with get_context("fork").Pool(PROCESSES) as pool:
            pool.map(_write_class, range(IMAGES // PER_CLASS))
        yield folder
    shutil.rmtree(folder)


class Memory:
    """The most that this process and its children hold at once, beyond what was held before."""

    def __init__(self) -> None:
        code = (
            "import psutil,sys,time\n"
            "me=psutil.Process(int(sys.argv[1])); own=psutil.Process().pid; most=0\n"
            "def pss(p):\n"
            "    try: return p.memory_full_info().pss\n"
            "    except psutil.Error: return 0\n"
            "while sys.stdin.readable():\n"
            "    kids=[k for k in me.children(recursive=True) if k.pid!=own]\n"
            "    most=max(most,sum(map(pss,[me,*kids])))\n"
            "    print(most,flush=True); time.sleep(0.05)\n"
        )
        words = [sys.executable, "-c", code, str(os.getpid())]
        self.watcher = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.before = psutil.Process().memory_full_info().pss

    def stop(self) -> int:
        self.watcher.terminate()
        output, _ = self.watcher.communicate()
        lines = [line for line in output.splitlines() if line.isdigit()]
        return int(lines[-2 if len(lines) > 1 else -1]) - self.before


def test_prepare_against_plain_decoding(project: Path, figure: Callable[[Figure], None]) -> None:
    params = write_params(project, merged(TINY, CHANGES))
    files = sorted(str(path) for path in Path("photos").rglob("*.jpg"))

    def floor() -> None:
        with get_context("spawn").Pool(PROCESSES) as pool:  # as ours are started
            for _ in pool.imap(decode, files, chunksize=64):
                pass

    def ours() -> None:
        shutil.rmtree("cache", ignore_errors=True)
        prepare(params, untracked)

    def again() -> None:
        for index in range(10):
            _write_new(index, time.time_ns())
        prepare(params, untracked)

    decoded, prepared, ten = taking_turns(floor, ours, again, rounds=ROUNDS, warm_up=0)
    memory: dict[str, int] = {}
    # Apart from the times: looking takes time itself.
    for name, work in (("floor", floor), ("ours", ours)):
        watch = Memory()
        work()
        memory[name] = watch.stop()
    what = f"{len(files)} JPEGs of 256 px to {SIDE_PX} px, {PROCESSES} processes"
    first = "Headstart", prepared
    figure(compared(f"{what}: images a second", "0.9", ("Pillow alone", decoded), first))
    figure(compared("the same with 10 new images", "0.03 or less", ("again", ten), first))
    held = {name: [size / 1e6] for name, size in memory.items()}
    sides = ("Headstart", held["ours"]), ("Pillow alone", held["floor"])
    figure(compared("memory of that", "below 2", *sides, unit="MB"))
    assert len(ImageStore(PREPARED).read("base").images) > 0


def _write_new(index: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
    image = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
    path = Path("photos") / f"class {index:04d}" / f"new {seed}.jpg"
    path.write_bytes(_jpeg(image))


def test_reading_the_store_against_a_data_loader(
    project: Path, figure: Callable[[Figure], None]
) -> None:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    from tasks.backbones.encoder import pixels

    prepare(write_params(project, merged(TINY, CHANGES)), untracked)
    transform = v2.Compose([v2.Resize(SIDE_PX), v2.CenterCrop(SIDE_PX), v2.PILToTensor()])
    data = ImageFolder("photos", transform)
    part = ImageStore(PREPARED).read("base")
    batches, batch = 20, 256

    def loader() -> None:
        for number, _ in enumerate(DataLoader(data, batch, shuffle=True, num_workers=2)):
            if number + 1 == batches:
                return

    def store() -> None:
        rng = np.random.default_rng()
        for _ in range(batches):
            pixels(part.images[rng.integers(0, len(part.images), batch)])

    theirs, ours = taking_turns(loader, store, rounds=ROUNDS, warm_up=0)
    what = f"{batches} random batches of {batch}"
    figure(compared(what, "10", ("ImageFolder, two workers", theirs), ("store", ours)))
