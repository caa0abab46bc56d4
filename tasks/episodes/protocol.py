"""The episodes of a protocol: what evaluate measures by, and export what a bundle costs."""

from tasks.artifacts.image_store import Part
from tasks.episodes.sampler import Episodes, Pool, imbalanced
from tasks.params.evaluate import Protocol


def draw_protocol(
    kind: Protocol, part: Part, *, queries: int, seed: int, purpose: str, episodes: int
) -> Episodes:
    """Draw episodes of one kind.

    Args:
        kind: the protocol.
        part: the images of its domain, or some of them.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.
        purpose: what they are for; other purposes get unrelated episodes.
        episodes: how many.

    Raises:
        DataError: the part has too few classes, or too few images in them.
    """
    pool = Pool(part.labels)
    drawn = pool.draw(
        0,
        episodes,
        way=kind.way if isinstance(kind.way, int) else max(2, pool.able(kind.shot + queries)),
        shot=kind.shot,
        queries=queries,
        seed=seed,
        purpose=purpose,
        groups=part.groups if kind.within_group else None,
    )
    return imbalanced(drawn, 0, seed=seed, purpose=purpose) if kind.imbalanced else drawn
