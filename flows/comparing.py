"""A candidate's bundle and the released one, on the same episodes of the candidate's images.

Both answer through their graphs, which is what is shipped, so that nothing but the models differs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.image_store import ImageStore, Part
from tasks.artifacts.layout import BUNDLE, PREPARED
from tasks.episodes.sampler import Episodes
from tasks.params import PARAMS_FILE, Params
from tasks.params.evaluate import Protocol
from tasks.params_file import load_params
from tasks.statistics import Estimate, estimate, paired_difference

_AT_ONCE = 1024  # images; bounds the memory beside the graphs' own


@dataclass(frozen=True)
class Compared:
    """What came of one protocol.

    Attributes:
        key: as `metrics.json` calls the protocol.
        name: as tables do.
        domain: where its classes come from.
        episodes: how many.
        candidate: mean accuracy, 0..1.
        released: likewise, of the released model; None where there is none.
        difference: candidate - released, episode by episode.
    """

    key: str
    name: str
    domain: str
    episodes: int
    candidate: Estimate
    released: Estimate | None
    difference: Estimate | None


def compare(folder: Path, released: Path | None) -> list[Compared]:
    """Measure a candidate, and beside it what is released.

    Args:
        folder: of the clone in which the candidate was trained.
        released: the released bundle; None where there is none yet.

    Raises:
        BundleError: a bundle is damaged, or refuses the images.
        DataError: the image store is damaged, or no episodes can be drawn from it.
        ParametersError: the candidate's params are not valid.
    """
    params = load_params(folder / PARAMS_FILE)
    store = ImageStore(folder / PREPARED)
    bundles = [Bundle(folder / BUNDLE), *([Bundle(released)] if released else [])]
    parts = {name: store.read(name) for name in {one.domain for one in params.evaluate.protocols}}
    embedded = [{name: _embed(bundle, part) for name, part in parts.items()} for bundle in bundles]
    found = []
    for kind in params.evaluate.protocols:
        drawn = _draw(kind, parts[kind.domain], params)
        hits = [
            np.array(list(_hit_rates(bundle, each[kind.domain], drawn)))
            for bundle, each in zip(bundles, embedded, strict=True)
        ]
        found.append(_compared(kind, hits))
    return found


def learned_before(folder: Path, released: Path) -> list[str]:
    """Classes that the candidate is measured on, and that the released model was trained on."""
    store = ImageStore(folder / PREPARED)
    known = set(Bundle(released).manifest["base_classes"])
    return [one.name for part in store.domains for one in store.classes(part) if one.name in known]


def _compared(kind: Protocol, hits: Sequence[NDArray[np.float64]]) -> Compared:
    ours, theirs = hits[0], hits[1] if len(hits) > 1 else None
    return Compared(
        key=kind.key,
        name=kind.name,
        domain=kind.domain,
        episodes=len(ours),
        candidate=estimate(ours),
        released=None if theirs is None else estimate(theirs),
        difference=None if theirs is None else paired_difference(ours, theirs),
    )


def _draw(kind: Protocol, part: Part, params: Params) -> Episodes:
    """The very episodes that stage evaluate measures the candidate on."""
    from tasks.evaluate.measuring import draw  # brings torch along

    section = params.evaluate
    return draw(kind, part, section.episodes, queries=section.queries, seed=params.seed)


def _embed(bundle: Bundle, part: Part) -> NDArray[np.float32]:
    """Embeddings of a part `(image, dim)`; grey images become RGB, as a decoder makes them."""
    rows = [np.empty((0, bundle.dim), np.float32)]
    for at in range(0, len(part.images), _AT_ONCE):
        images = part.images[at : at + _AT_ONCE]
        if images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        rows.append(bundle.embed(list(images)))
    return np.concatenate(rows)


def _hit_rates(bundle: Bundle, embeddings: NDArray[np.float32], drawn: Episodes) -> Iterator[float]:
    """Share of right answers of each episode."""
    _, way, queries = drawn.query.shape
    classes, truth = np.arange(way), np.repeat(np.arange(way), queries)
    for support, labels, query in zip(
        drawn.support, drawn.support_labels(), drawn.query, strict=True
    ):
        rule = bundle.adapt(embeddings[support.ravel()], labels, classes)
        logits, _ = bundle.predict(embeddings[query.ravel()], rule)
        yield float((logits.argmax(axis=1) == truth).mean())
