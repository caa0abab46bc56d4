"""About how many seconds and how much memory a run will need: measured where it can be."""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flows.inspecting.looking import Look
from tasks.errors import DataError
from tasks.params import Params
from tasks.params.training import Selection
from tasks.progress import Track
from tasks.workers import cores, process_pool

if TYPE_CHECKING:
    from flows.inspecting.timing import Timed

ARMS = 4  # random start, meta alone, transfer and meta, which evaluate compares
EXPORT_S = 12.0  # beyond the start, as seen with conv4 on two cores; not measured here
EXPORT_BYTES = 1_000_000_000  # likewise
REPORT_S = 20.0  # tuning, curves, charts and report, likewise
_CACHE_PAGE_BYTES = 16_384  # of the cache of decoded images; as many tiles as fit share one
_CACHE_ROW_BYTES = 60  # of a tile there besides its pixels
_CACHE_INDEX_BYTES = 200  # of indices and of what a file is known by, as measured
_CACHE_SPILL_BYTES = 2_000  # lost, about, where a tile takes pages of its own; as measured


@dataclass(frozen=True)
class Cost:
    """What one stage will need, about.

    Attributes:
        stage: its name.
        seconds: all of it.
        memory_bytes: the most at once.
        basis: what of it was measured, in words.
    """

    stage: str
    seconds: float
    memory_bytes: int
    basis: str


@dataclass(frozen=True)
class Costs:
    """What a run will need, about.

    Attributes:
        stages: in order.
        store_bytes: of the image store on disk.
        cache_bytes: of the cache of decoded images, which all projects share.
    """

    stages: Sequence[Cost]
    store_bytes: int
    cache_bytes: int

    @property
    def seconds(self) -> float:
        """Of all stages, one after the other."""
        return sum(stage.seconds for stage in self.stages)


def reckon(look: Look, images: int, sizes: Mapping[str, tuple[int, int]]) -> Costs:
    """Reckon what stage prepare needs, and what stays on disk.

    Args:
        look: at some of the images, which is where the rate of decoding is from.
        images: how many there are.
        sizes: split -> number of classes and of images.
    """
    tile_bytes = look.spec.size_px**2 * look.spec.channels
    return Costs(
        [_prepare(look, images)],
        tile_bytes * sum(number for _, number in sizes.values()),
        _cached_bytes(tile_bytes) * images,
    )


def with_trainings(
    costs: Costs, params: Params, sizes: Mapping[str, tuple[int, int]], track: Track
) -> Costs:
    """The same with the stages after prepare, for which a few steps are timed.

    Args:
        costs: of stage prepare.
        params: of the run.
        sizes: split -> number of classes and of images.
        track: shows progress.

    Raises:
        DataError: not even a few steps could be taken.
    """
    for _ in track(range(1), "timing steps of training"):
        start_s, timed = _measured(params, sizes["base"][0])
    export = "nothing: as with the default's conv4 elsewhere"
    later = [
        _pretrain(params, sizes, timed, start_s),
        _metatrain(params, sizes, timed, start_s),
        _evaluate(params, sizes, timed, start_s),
        Cost("export", start_s + EXPORT_S, EXPORT_BYTES, export),
    ]
    return replace(costs, stages=[*costs.stages, *later])


def time_in_process(params: Params, base_classes: int) -> "tuple[float, Timed]":
    """What the process of its own does: seconds until torch is there, and what was measured."""
    started = time.perf_counter()
    from flows.inspecting.timing import time_steps

    start_s = time.perf_counter() - started
    return start_s, time_steps(params, base_classes)


def _measured(params: Params, base_classes: int) -> "tuple[float, Timed]":
    with process_pool(1) as pool:
        try:
            return pool.submit(time_in_process, params, max(2, base_classes)).result()
        except (BrokenProcessPool, MemoryError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                "a few steps of training could not be taken: too little memory is what it "
                f"mostly is ({reason}); lower pretrain.batch_size, or leave this out: --no-timing"
            ) from None


def _cached_bytes(tile_bytes: int) -> int:
    """About what the cache grows by for each image, its indices included."""
    sharing = _CACHE_PAGE_BYTES // (tile_bytes + _CACHE_ROW_BYTES)
    room_bytes = _CACHE_PAGE_BYTES // sharing if sharing else tile_bytes + _CACHE_SPILL_BYTES
    return room_bytes + _CACHE_INDEX_BYTES


def _prepare(look: Look, images: int) -> Cost:
    # torch is no part of it, and so this process is much like it.
    memory = _own_peak_bytes() + cores() * look.worker_peak_bytes
    seconds = look.start_s + images * look.seconds_per_image
    rate = 1 / max(look.seconds_per_image, 1e-9)
    return Cost(
        "prepare",
        seconds,
        memory,
        f"{len(look.images):,} images framed, {rate:,.0f} a second; later runs decode none",
    )


def _pretrain(
    params: Params, sizes: Mapping[str, tuple[int, int]], timed: "Timed", start_s: float
) -> Cost:
    section = params.pretrain
    images = sizes["base"][1]
    generations = 1 + section.distillation.generations
    epochs = generations * section.epochs
    steps = max(1, images // section.batch_size) * epochs
    # Teachers look at what every generation but the first is shown.
    taught = (steps - steps // generations) * section.batch_size
    embedded, scorings = (images, 1) if section.policy == "frozen" else (taught, epochs)
    if section.schedule == "cross_validation":
        # Its scouts, see tasks.pretrain.cross_validation.
        steps += 3 * (section.cross_validation.folds - 1) * (steps // generations)
    scored_s = _scoring_s(section.selection, sizes, timed.embed_image_s, timed.selection_episode_s)
    return Cost(
        "pretrain",
        start_s
        + steps * timed.pretrain_step_s
        + embedded * timed.embed_image_s
        + scorings * scored_s,
        timed.peak_bytes,
        f"a batch of {section.batch_size} takes {_short(timed.pretrain_step_s)}; "
        f"{steps:,} of them in {epochs:,} epochs",
    )


def _metatrain(
    params: Params, sizes: Mapping[str, tuple[int, int]], timed: "Timed", start_s: float
) -> Cost:
    section = params.metatrain
    checkpoints = 1 + -(-section.steps // section.checkpoint_every_steps)
    scored_s = _scoring_s(section.selection, sizes, timed.embed_image_s, timed.checkpoint_episode_s)
    return Cost(
        "metatrain",
        start_s + section.steps * timed.metatrain_step_s + checkpoints * scored_s,
        timed.peak_bytes,
        f"a step of {section.meta_batch} episodes takes {_short(timed.metatrain_step_s)}; "
        f"{section.steps:,} of them",
    )


def _evaluate(
    params: Params, sizes: Mapping[str, tuple[int, int]], timed: "Timed", start_s: float
) -> Cost:
    images = sizes["novel"][1]
    episodes_s = params.evaluate.episodes * sum(timed.protocol_episode_s)
    seconds = start_s + REPORT_S + ARMS * (images * timed.embed_image_s + episodes_s)
    return Cost(
        "evaluate",
        seconds,
        timed.peak_bytes + ARMS * images * timed.width * 4,
        f"an image takes {_short(timed.embed_image_s)}; {ARMS} x {images:,} of them and "
        f"{ARMS} x {len(timed.protocol_episode_s)} x {params.evaluate.episodes:,} episodes",
    )


def _scoring_s(
    selection: Selection,
    sizes: Mapping[str, tuple[int, int]],
    image_s: float,
    episode_s: float,
) -> float:
    """To score one state on the validation classes."""
    drawn = selection.episodes * selection.way * (selection.shot + selection.queries)
    return min(sizes["validation"][1], drawn) * image_s + selection.episodes * episode_s


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _own_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
