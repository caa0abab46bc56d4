"""Preparing photographs, against the plain floor: Pillow in two processes on the same files.

Both sides of a ratio are measured in one run, taking turns; what is printed is the median of the
rounds and their spread. `HEADSTART_BENCH_IMAGES` changes how many images there are.
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
from statistics import median, quantiles

import numpy as np
import psutil
import pytest
from PIL import Image

from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import PREPARED
from tasks.artifacts.tile_cache import FOLDER_VARIABLE
from tasks.prepare.stage import prepare
from tasks.progress import untracked
from tests.benchmarks.plain import decode
from tests.conftest import TINY, merged, write_params

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

IMAGES = int(os.environ.get("HEADSTART_BENCH_IMAGES", "20000"))
PER_CLASS = 100
SIDE_PX = 64
ROUNDS = 5
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
    """JPEGs of 256 px with the grain of photographs, 20 kB each."""
    folder = Path("photos") / f"class {number:04d}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    for index in range(PER_CLASS):
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
        Image.fromarray(pixels).save(folder / f"{index:03d}.jpg", quality=85)


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


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def told(name: str, seconds: list[float]) -> str:
    low, _, high = quantiles(seconds, n=4) if len(seconds) > 1 else (seconds * 3)
    spread = f"quartiles {low:.3f} to {high:.3f}, n {len(seconds)}"
    return f"{name}: median {median(seconds):.3f} s, {spread}"


def test_prepare_against_plain_decoding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
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

    sides = (("floor", floor), ("ours", ours), ("ten new", again))
    seconds: dict[str, list[float]] = {name: [] for name, _ in sides}
    for _ in range(ROUNDS):
        for name, work in sides:
            seconds[name].append(timed(work))
    memory: dict[str, int] = {}
    for name, work in sides:  # apart from the times: looking takes time itself
        watch = Memory()
        work()
        memory[name] = watch.stop()
    with capsys.disabled():
        print(f"\n{len(files)} JPEGs of 256 px to {SIDE_PX} px, {PROCESSES} processes")
        for name, values in seconds.items():
            print(told(name, values) + f"; {memory[name] / 1e6:.0f} MB beyond what was held before")
        ratio = median(seconds["floor"]) / median(seconds["ours"])
        share = median(seconds["ten new"]) / median(seconds["ours"])
        print(f"images a second, of the floor's: {ratio:.2f} (asked for: 0.9)")
        print(
            f"memory, of the floor's: {memory['ours'] / memory['floor']:.2f} (asked for: below 2)"
        )
        print(f"with 10 new images, of the first run's time: {share:.3f} (asked for: below 0.03)")
    assert len(ImageStore(PREPARED).read("base").images) > 0


def _write_new(index: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
    image = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
    file = BytesIO()
    image.save(file, "JPEG", quality=85)
    (Path("photos") / f"class {index:04d}" / f"new {seed}.jpg").write_bytes(file.getvalue())


def test_reading_the_store_against_a_data_loader(
    project: Path, capsys: pytest.CaptureFixture[str]
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

    seconds: dict[str, list[float]] = {"DataLoader": [], "store": []}
    for _ in range(ROUNDS):
        seconds["DataLoader"].append(timed(loader))
        seconds["store"].append(timed(store))
    with capsys.disabled():
        print(f"\n{batches} random batches of {batch}")
        for name, values in seconds.items():
            print(told(name, values))
        ratio = median(seconds["DataLoader"]) / median(seconds["store"])
        print(f"images a second, of the DataLoader's: {ratio:.0f} times (asked for: 10)")
