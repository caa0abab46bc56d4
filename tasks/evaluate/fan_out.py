"""Spreads episodes over workers, with the same bits whatever their number.

Episodes are cut into runs of a length that the work itself gives, never the number of workers;
every run is worked on by one thread, here as in a worker; and results come back in order.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch

from tasks import optimisation
from tasks.episodes.sampler import Episodes
from tasks.errors import LostProcessError
from tasks.evaluate.arms import Arm
from tasks.evaluate.lending import Lender, borrow
from tasks.learners.learner import as_learner
from tasks.progress import Track, untracked

R = TypeVar("R")

_AHEAD = 3  # runs a worker, waiting or done; bounds memory
_one_at_a_time = threading.Lock()


class Runner(Protocol):
    """Works on runs of episodes, here or elsewhere."""

    def runs(
        self, work: Callable[..., R], shared: Sequence[object], parts: Iterable[Episodes]
    ) -> Iterator[R]:
        """Yield `work(*shared, part)` for each part, in order."""
        ...


class Alone:
    """Works in this process: on as many runs at a time as torch may use threads, a thread each."""

    def runs(
        self, work: Callable[..., R], shared: Sequence[object], parts: Iterable[Episodes]
    ) -> Iterator[R]:
        """See `Runner.runs`."""
        threads = torch.get_num_threads()
        # A network is swapped in place for an episode, so that two threads cannot share it.
        lanes = 1 if any(_moves_network(one) for one in shared) else threads
        waiting: deque[Future[R]] = deque()
        pool = ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,))
        try:
            for part in parts:
                waiting.append(pool.submit(work, *shared, part))
                if len(waiting) > lanes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)


def _moves_network(thing: object) -> bool:
    return isinstance(thing, Arm) and as_learner(thing.learner).moves_network


class Shared:
    """Works on the workers of an executor.

    Args:
        executor: of processes, of this machine or others.
        workers: how many there are.
        lender: writes what they need.
        lost: what the executor raises when workers are gone.
    """

    def __init__(
        self,
        executor: Executor,
        workers: int,
        lender: Lender,
        lost: tuple[type[BaseException], ...],
    ) -> None:
        self._executor = executor
        self._ahead = _AHEAD * workers
        self._lender = lender
        self._lost = lost

    def runs(
        self, work: Callable[..., R], shared: Sequence[object], parts: Iterable[Episodes]
    ) -> Iterator[R]:
        """See `Runner.runs`.

        Raises:
            LostProcessError: a worker was killed.
        """
        lent = tuple(self._lender.lend(one) for one in shared)
        waiting: deque[Future[R]] = deque()
        try:
            for part in parts:
                waiting.append(self._executor.submit(work_on, work, lent, part))
                if len(waiting) >= self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except self._lost as error:
            raise LostProcessError(
                f"a worker of this stage is gone ({type(error).__name__}), killed by hand or for "
                "want of memory; run it again, with a lower evaluate.workers if memory ran out"
            ) from None


def work_on(work: Callable[..., R], lent: Sequence[object], part: Episodes) -> R:
    """What a worker does with a run of episodes."""
    # Dask may give a process several threads; networks are swapped in place for an episode.
    with _one_at_a_time:
        optimisation.deterministic()
        torch.set_num_threads(1)
        return work(*(borrow(one) for one in lent), part)


@dataclass(frozen=True)
class FanOut:
    """Who works on episodes, and who is told how far they are.

    Attributes:
        runner: works.
        track: shows progress.
    """

    runner: Runner = field(default_factory=Alone)
    track: Track = untracked

    def over(
        self,
        episodes: Episodes,
        length: int,
        work: Callable[..., R],
        *shared: Any,
        label: str | None = None,
    ) -> list[R]:
        """`work(*shared, part)` of every run of episodes, in order.

        Args:
            episodes: all of them.
            length: of a run; must not depend on the number of workers.
            work: a function of a module, which a worker can import.
            *shared: its first arguments, the same for all runs.
            label: what progress is called; None shows none.
        """
        count = len(episodes.classes)
        parts = (episodes.between(at, at + length) for at in range(0, count, length))
        found: list[R] = []

        def done() -> Iterator[int]:
            for one in self.runner.runs(work, shared, parts):
                first = len(found) * length
                found.append(one)
                yield from range(first, min(first + length, count))

        for _ in self.track(done(), label, count) if label else done():
            pass
        return found
