"""The nearest episodes to those asked for that the classes there are can carry."""

from dataclasses import dataclass

from tasks.episodes.sampler import Episodes, Pool


@dataclass(frozen=True)
class Size:
    """Ways, shots and queries a class of an episode."""

    way: int
    shot: int
    queries: int

    def draw(self, pool: Pool, episodes: int, *, seed: int, purpose: str) -> Episodes:
        """Episodes 0 .. `episodes - 1` of this size."""
        return pool.draw(
            0,
            episodes,
            way=self.way,
            shot=self.shot,
            queries=self.queries,
            seed=seed,
            purpose=purpose,
        )


def fitting(pool: Pool, asked: Size) -> Size | None:
    """Shrink what does not fit: queries first, then ways, shots last.

    Args:
        pool: where episodes are drawn from.
        asked: the size wanted.

    Returns:
        A size that the pool carries; None where not even two classes have two images.
    """
    for shot in range(asked.shot, 0, -1):
        for queries in range(asked.queries, 0, -1):
            if pool.able(shot + queries) >= asked.way:
                return Size(asked.way, shot, queries)
        for queries in range(asked.queries, 0, -1):
            if (able := pool.able(shot + queries)) >= 2:
                return Size(able, shot, queries)
    return None
