"""What `headstart score` does: how well a bundle learns classes of somebody's own images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from flows.image_folders import FoundClass, find_classes
from flows.predicting import printable
from tasks.artifacts.bundle import Bundle
from tasks.episodes.sampler import Pool
from tasks.errors import DataError
from tasks.progress import Track
from tasks.statistics import estimate


@dataclass(frozen=True)
class Plan:
    """The episodes to draw.

    Attributes:
        way: classes in an episode.
        shot: support images of a class.
        queries: query images of a class.
        episodes: how many, at least two.
        within_group: draw all classes of an episode from one group; episodes are spread evenly
            over the groups that have enough classes.
        seed: of all their randomness.
    """

    way: int
    shot: int
    queries: int
    episodes: int
    within_group: bool
    seed: int


@dataclass(frozen=True)
class Score:
    """Accuracy over episodes, and what they were drawn from.

    Attributes:
        plan: the episodes.
        accuracy: mean share of right answers, 0..1.
        interval95: half-width of its 95 % t interval over episodes.
        classes: how many classes episodes were drawn from.
        images: how many images these have.
        groups: the groups that episodes were drawn from.
        left_out: group -> why no episode was drawn from it.
    """

    plan: Plan
    accuracy: float
    interval95: float
    classes: int
    images: int
    groups: Sequence[str]
    left_out: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """The same for programs, in one level."""
        content = asdict(self)
        return {**content.pop("plan"), **content}


def score(folder: Path, root: Path, plan: Plan, track: Track) -> Score:
    """Measure a bundle on images by episodes; every image is embedded once.

    Args:
        folder: the bundle.
        root: holds `CLASS/*` or `GROUP/CLASS/*`.
        plan: the episodes.
        track: shows progress.

    Raises:
        BundleError: the bundle is missing or damaged.
        DataError: the folders are arranged otherwise, no episode can be drawn, or a file is no
            image.
    """
    bundle = Bundle(folder)
    pools, left_out = _pools(root, plan)
    # With fewer episodes than groups the last groups have none, and need no embedding.
    pools = dict(list(pools.items())[: plan.episodes])
    paths = [path for pool in pools.values() for one in pool for path in one.images]
    embeddings = bundle.embed_files(paths, track)
    hits = [
        _hit_rate(bundle, embeddings, support, query)
        for support, query in track(_draw(pools, plan), "adapting to episodes", plan.episodes)
    ]
    found = estimate(np.array(hits))
    return Score(
        plan=plan,
        accuracy=found.mean,
        interval95=found.interval95,
        classes=sum(len(pool) for pool in pools.values()),
        images=len(paths),
        groups=sorted({one.group for pool in pools.values() for one in pool if one.group}),
        left_out=left_out,
    )


def score_table(found: Score, bundle_name: str) -> Table:
    """A table for a terminal: the accuracy, and what it is of."""
    plan = found.plan
    groups = f" in {len(found.groups)} groups" if found.groups else ""
    rows = [
        ("bundle", bundle_name),
        (
            "episodes",
            f"{plan.episodes:,} of {plan.way}-way {plan.shot}-shot, {plan.queries} queries a class",
        ),
        ("", "classes of one group in each" if plan.within_group else ""),
        ("drawn from", f"{found.images:,} images of {found.classes:,} classes{groups}"),
        (
            "accuracy %",
            f"{100 * found.accuracy:.2f} ± {100 * found.interval95:.2f} (95 % interval)",
        ),
        *(("left out", f"{group}: {reason}") for group, reason in found.left_out.items()),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, text in rows:
        if text:
            table.add_row(key, Text(printable(text)))
    return table


def _pools(root: Path, plan: Plan) -> tuple[dict[str, list[FoundClass]], dict[str, str]]:
    """Which classes an episode may mix, by group, and why other groups have none."""
    groups: dict[str, list[FoundClass]] = {}
    for one in find_classes(root):
        if plan.within_group and not one.group:
            raise DataError(
                f"{root}: found classes without groups, needed ROOT/GROUP/CLASS/*; leave out "
                "--within-group"
            )
        groups.setdefault(one.group if plan.within_group else "", []).append(one)
    needed = plan.shot + plan.queries
    pools, left_out = {}, {}
    for group, members in groups.items():
        able = [one for one in members if len(one.images) >= needed]
        if len(able) >= plan.way:
            pools[group] = able
        else:
            left_out[group] = (
                f"found {len(able)} classes of at least {needed} images (shot + queries), needed "
                f"{plan.way} (way)"
            )
    if not pools:
        group, reason = max(left_out.items(), key=lambda one: len(groups[one[0]]))
        where = root / group
        raise DataError(f"{where}: {reason}: ask for a lower --way, --shot or --queries")
    return pools, left_out


def _draw(
    pools: Mapping[str, Sequence[FoundClass]], plan: Plan
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Support `(way, shot)` and query `(way, queries)` of each episode, as rows of all images."""
    first_row = 0
    for index, (group, members) in enumerate(pools.items()):
        sizes = [len(one.images) for one in members]
        drawn = Pool(np.repeat(np.arange(len(members)), sizes)).draw(
            0,
            plan.episodes // len(pools) + (index < plan.episodes % len(pools)),
            way=plan.way,
            shot=plan.shot,
            queries=plan.queries,
            seed=plan.seed,
            purpose=f"score {group}",
        )
        for support, query in zip(drawn.support, drawn.query, strict=True):
            yield support + first_row, query + first_row
        first_row += sum(sizes)


def _hit_rate(
    bundle: Bundle,
    embeddings: NDArray[np.float32],
    support: NDArray[np.int64],
    query: NDArray[np.int64],
) -> float:
    way, shot = support.shape
    classes = np.arange(way)
    rule = bundle.adapt(embeddings[support.ravel()], np.repeat(classes, shot), classes)
    logits, _ = bundle.predict(embeddings[query.ravel()], rule)
    return float((logits.argmax(axis=1) == np.repeat(classes, query.shape[1])).mean())
