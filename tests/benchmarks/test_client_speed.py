"""The client of a bundle: adding one image to many, and how fast and small a program with it is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from PIL import Image

from tasks import fewshot
from tests.benchmarks.turns import Figure, compared, timed

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

WAY, SHOT = 100, 20
SIDE_PX = 105
ROUNDS = 3
STARTS = 15
THREADS = 2


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """Strokes on paper, as PNG; those of a class share where they stand."""
    folder = tmp_path_factory.mktemp("pictures")
    classes = []
    for kind in range(WAY):
        ends = np.random.default_rng(kind).integers(10, SIDE_PX - 40, (4, 2))
        classes.append([folder / f"{kind} {number}.png" for number in range(SHOT + 1)])
        for number, path in enumerate(classes[-1]):
            rng = np.random.default_rng((kind, number))
            image = rng.integers(220, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
            for row, column in ends + rng.integers(-3, 4, ends.shape):
                image[row : row + 6, column : column + 30] //= 8
            Image.fromarray(image).save(path)
    return classes


def test_one_more_image_against_starting_again(
    bundle: Path, pictures: list[list[Path]], figure: Callable[[Figure], None]
) -> None:
    classes = {f"class {kind}": paths[:SHOT] for kind, paths in enumerate(pictures)}
    model = fewshot.FewShotClassifier(bundle, threads=THREADS)
    model.enroll_all(classes)
    rebuild, add, adapt = [], [], []
    for number in range(ROUNDS):
        again = fewshot.FewShotClassifier(bundle, threads=THREADS)
        more = pictures[number][SHOT]
        everything = {**classes, f"class {number}": pictures[number]}
        rebuild.append(timed(lambda: again.enroll_all(everything)))  # noqa: B023 - called at once
        for _ in range(20):
            add.append(timed(lambda: model.enroll(f"class {number}", more)))  # noqa: B023
            model.forget_image(f"class {number}")
        model.enroll(f"class {number}", more)
        adapt.append(timed(model._current_rule))
        assert again.classes[f"class {number}"] == SHOT + 1
    what = f"one more image into {WAY} classes x {SHOT} images of {SIDE_PX} px"
    figure(compared(what, "500", ("rebuild from images", rebuild), ("client", add)))
    # The rule is made at the next prediction, on either side.
    with_rule = [[one + median(adapt) for one in side] for side in (rebuild, add)]
    sides = ("rebuild, and the rule", with_rule[0]), ("client, and the rule", with_rule[1])
    figure(compared(what, "", *sides))


STARTING = """
import sys, time
started = time.perf_counter()
sys.path.insert(0, sys.argv[1])
from fewshot import FewShotClassifier
model = FewShotClassifier(sys.argv[2])
model.enroll("one", sys.argv[3])
model.enroll("two", sys.argv[4])
model.predict(sys.argv[5])
seconds = time.perf_counter() - started
processor_s = time.process_time()
# Not getrusage: its peak is also that of the process before exec.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(seconds, processor_s, int(status["VmHWM"].split()[0]) * 1024 / 1e6)
"""


def test_from_import_to_the_first_prediction(
    bundle: Path, pictures: list[list[Path]], figure: Callable[[Figure], None]
) -> None:
    shown = [str(pictures[kind][number]) for kind, number in ((0, 0), (1, 0), (0, 1))]
    client = str(Path(fewshot.__file__).parent)
    command = [sys.executable, "-c", STARTING, client, str(bundle), *shown]
    found = []
    for _ in range(STARTS):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append([float(word) for word in done.stdout.split()])
    seconds, processor_s, megabytes = (list(column) for column in zip(*found[1:], strict=True))
    what = "a process that learns two classes and names one image"
    figure(Figure(f"{what}: s", "0.5 or less", median(seconds), "s", {"all of it": seconds}))
    figure(Figure(f"{what}: processor", "", median(processor_s), "s", {"with start": processor_s}))
    figure(Figure(f"{what}: memory", "150 or less", median(megabytes), "MB", {"peak": megabytes}))
