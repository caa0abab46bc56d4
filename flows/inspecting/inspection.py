"""Everything that `headstart inspect` finds out, in the order in which it does."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flows.inspecting.costs import Costs, reckon, with_trainings
from flows.inspecting.counting import Counted, count, sizes_of
from flows.inspecting.fitting import Fit, fit
from flows.inspecting.guessing import PROBE_PX, PROBED, Framing, guess_framing
from flows.inspecting.looking import Look, look_into, usable
from flows.inspecting.sampling import choose
from flows.inspecting.starting import (
    Base,
    Where,
    starting_params,
    starting_values,
)
from flows.inspecting.suspicion import (
    Suspected,
    bundle_features,
    comparable,
    pixel_features,
    suspect,
)
from tasks.artifacts.bundle import Bundle
from tasks.errors import DataError, ParametersError
from tasks.params import Params
from tasks.prepare.decoding import TileSpec
from tasks.prepare.splits import ClassFound
from tasks.progress import Track
from tasks.sources.found import Found
from tasks.sources.omniglot import BACKGROUND, EVALUATION
from tasks.workers import cores

MAXIMUM_IMAGE_PIXELS = 40_000_000
_DEFAULT_SEED = 1


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        where: the images.
        images: how many to look into at most.
        timing: whether to time steps of training.
    """

    where: Where
    images: int
    timing: bool


@dataclass(frozen=True)
class Start:
    """What to start with.

    Attributes:
        values: overrides; None where no run is possible.
        params: what a run with them has; None where there is nothing to lay them over.
        remark: why something is missing.
    """

    values: Mapping[str, Any] | None
    params: Params | None
    remark: str


@dataclass(frozen=True)
class Inspection:
    """What was found out.

    Attributes:
        where: the images.
        counted: as listed.
        framing: how they are best framed.
        look: at some of them.
        labels: what neighbours tell about these; None where no class has enough of them.
        fit: what way and shot they can carry.
        start: what to start with.
        costs: of that run; without its trainings where they were not timed.
        remarks: what could not be done, and why.
    """

    where: Where
    counted: Counted
    framing: Framing
    look: Look
    labels: Suspected | None
    fit: Fit
    start: Start
    costs: Costs
    remarks: tuple[str, ...]

    def with_remarks(self, more: Iterable[str]) -> "Inspection":
        """The same with further remarks."""
        return replace(self, remarks=(*self.remarks, *more))


def inspect(
    found: Found, asked: Asked, bundle: Bundle | None, base: Base | None, track: Track
) -> Inspection:
    """Look through images before anything is trained on them.

    Args:
        found: all of them.
        asked: what for.
        bundle: whose encoder compares them, if it does so better than plain pixels.
        base: the params of the project.
        track: shows progress.

    Raises:
        DataError: the root cannot be read any more.
    """
    busy = _busy()
    # An address may hold a password, which the tree leaves out.
    root = asked.where.root
    counted = count(found, found.tree.root if "://" in root else root)
    framing, look = _look(found, asked.images, base, track)
    labels = _labels(look, bundle, track)
    sizes = usable(look, sizes_of(counted.classes))
    classes = _classes(found, counted)
    fitted = fit(
        classes,
        sizes,
        table=asked.where.source in ("image_folder", "archive"),
        drawings=framing.mode == "ink",
        seed=base.sections["seed"] if base else _DEFAULT_SEED,
    )
    start = _start(asked.where, framing, fitted, _rejected_share(counted, sizes), base)
    if start.params is not None:
        start.params.check_episodes(fitted.class_sizes(classes, sizes))  # or the fit is at fault
    remarks = [busy, _omniglot(asked.where, counted), start.remark]
    costs = reckon(look, counted.images, fitted.sizes)
    if start.params is None or not asked.timing:
        remarks.append("seconds and memory of the trainings were not measured")
    else:
        try:
            costs = with_trainings(costs, start.params, fitted.sizes, track)
        except DataError as error:
            remarks.append(str(error))
    return Inspection(
        asked.where,
        counted,
        framing,
        look,
        labels,
        fitted,
        start,
        costs,
        tuple(filter(None, remarks)),
    )


def _look(found: Found, limit: int, base: Base | None, track: Track) -> tuple[Framing, Look]:
    """Guess from a few images how to frame them, and look into all that are to be."""
    pixels = base.sections["prepare"]["maximum_image_pixels"] if base else MAXIMUM_IMAGE_PIXELS
    images = [found.images[position] for position in choose(found.images, limit)]
    step = max(1, len(images) // PROBED)
    few = images[:PROBED] if found.tree.sequential else images[::step][:PROBED]
    spec = TileSpec("crop", PROBE_PX, 3, pixels)
    probe = look_into(found.tree, few, spec, track, "looking at a few images")
    framing = guess_framing(probe.tiles[[not reason for reason in probe.reasons]], probe.headers)
    spec = TileSpec(framing.mode, framing.size_px, framing.channels, pixels)
    return framing, look_into(found.tree, images, spec, track, "looking into images")


def _start(
    where: Where, framing: Framing, fitted: Fit, rejected_share: float, base: Base | None
) -> Start:
    if fitted.episodes is None:
        return Start(None, None, "")
    values = starting_values(where, framing, fitted, fitted.episodes, rejected_share, base)
    if base is None:
        return Start(values, None, "no params.yaml here or above to check the start against")
    try:
        return Start(values, starting_params(values, base), "")
    except ParametersError as error:
        return Start(None, None, f"nothing to start with: {str(error).splitlines()[0]}")


def _busy() -> str:
    """Whether others keep the machine busy, before this one does."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= 0.5 * cores():
        return ""
    found = f"load {load:.1f} on {cores()} cores"
    return f"this machine is busy ({found}), which makes all times longer, these too"


def _omniglot(where: Where, counted: Counted) -> str:
    """Whether these are the folders of Omniglot, which are better known by their own source."""
    halves = {one.name.partition("/")[0] for one in counted.groups}
    if where.source == "omniglot" or not halves or not halves <= {BACKGROUND, EVALUATION}:
        return ""
    return "these are Omniglot's folders: --source omniglot keeps its own novel classes"


def _rejected_share(counted: Counted, sizes: Mapping[str, int]) -> float:
    """About which share of the images cannot be used, as `prepare.max_rejected_share` has it."""
    lost = counted.lost + counted.images - sum(sizes.values())
    return lost / (counted.images + counted.lost)


def _classes(found: Found, counted: Counted) -> list[ClassFound]:
    split_of = {image.class_name: image.split for image in found.images}
    return [
        ClassFound(one.name, one.group, one.images, split_of[one.name])
        for one in sorted(counted.classes, key=lambda one: one.name)
    ]


def _labels(look: Look, bundle: Bundle | None, track: Track) -> Suspected | None:
    """Compare by plain pixels and by the bundle; what finds more neighbours of a class counts."""
    names = sorted({image.class_name for image in look.images})
    number = {name: index for index, name in enumerate(names)}
    every = np.array([number[image.class_name] for image in look.images], np.int64)
    positions = comparable(look.sound, every)
    if len(np.unique(every[positions])) < 2:
        return None
    labels, tiles = every[positions], look.tiles
    pixels = pixel_features(tiles, positions)
    found = suspect(pixels, labels, positions, "plain pixels", track)
    if bundle is not None:
        by = f"the encoder of bundle {bundle.name}"
        embeddings = bundle_features(bundle, tiles, positions, track)
        other = suspect(embeddings, labels, positions, by, track)
        found = max(found, other, key=lambda one: one.agreement)
    return found
