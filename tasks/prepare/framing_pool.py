"""Reads and frames many images on all cores, in order, whatever a decoder does."""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Lock

from tasks.artifacts.tile_cache import Tile
from tasks.prepare.decoding import Answer, Request, TileSpec, frame_content, read_and_frame
from tasks.trees.tree import Refusal, Tree
from tasks.workers import cores, process_pool

_AHEAD = 3  # batches a process, waiting or done; bounds memory


@dataclass
class _Worker:
    """What a process of the pool needs for every batch, handed over once."""

    tree: Tree
    spec: TileSpec
    large: Lock


_worker: _Worker | None = None


def frame_batches(
    tree: Tree,
    batches: Iterable[Sequence[Request]],
    spec: TileSpec,
    processes: int | None = None,
) -> Iterator[list[Answer]]:
    """Answer batches of requests in their order.

    A decoder that crashes takes its process along; its batch is then tried again image by image,
    and the image that crashes it alone is rejected.

    Args:
        tree: where the images are; read by the workers, or here where only reading in order is
            fast.
        batches: which images; taken as they are needed. An empty one needs no process.
        spec: how to frame them.
        processes: how many; None is one a core.

    Yields:
        For each batch an answer to each request.
    """
    with _Pool(tree, spec, processes or cores()) as pool:
        waiting: deque[tuple[Sequence[Request], Sequence[bytes | Refusal] | None]] = deque()
        for batch in batches:
            contents = None
            if tree.sequential and batch:
                contents = list(tree.read([request.path for request in batch]))
            waiting.append((batch, contents))
            pool.submit(batch, contents)
            if len(waiting) >= pool.ahead:
                yield pool.take(waiting)
        while waiting:
            yield pool.take(waiting)


class _Pool:
    def __init__(self, tree: Tree, spec: TileSpec, processes: int) -> None:
        self.tree = tree
        self.spec = spec
        self.processes = processes
        self.ahead = _AHEAD * processes
        self._executor: ProcessPoolExecutor | None = None
        self._futures: deque[Future[list[Answer]] | None] = deque()

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def submit(self, batch: Sequence[Request], contents: Sequence[bytes | Refusal] | None) -> None:
        self._futures.append(self._start(batch, contents) if batch else None)

    def take(
        self, waiting: deque[tuple[Sequence[Request], Sequence[bytes | Refusal] | None]]
    ) -> list[Answer]:
        """The answers to the batch that has waited longest."""
        batch, contents = waiting.popleft()
        future = self._futures.popleft()
        if future is None:
            return []
        try:
            return future.result()
        except BrokenProcessPool:
            self._end()
            answers = [self._alone(batch, contents, index) for index in range(len(batch))]
            self._futures.clear()
            for other, content in waiting:
                self.submit(other, content)
            return answers

    def _alone(
        self,
        batch: Sequence[Request],
        contents: Sequence[bytes | Refusal] | None,
        index: int,
    ) -> Answer:
        part = None if contents is None else contents[index : index + 1]
        try:
            return self._start(batch[index : index + 1], part).result()[0]
        except BrokenProcessPool:
            self._end()
            return Answer(b"", Tile.rejected("the decoder crashed on it"))

    def _start(
        self, batch: Sequence[Request], contents: Sequence[bytes | Refusal] | None
    ) -> Future[list[Answer]]:
        if self._executor is None:
            large = multiprocessing.get_context("spawn").Lock()
            # A tree that is read here has no business in the workers.
            worker = (None if self.tree.sequential else self.tree, self.spec, large)
            self._executor = process_pool(self.processes, _begin, *worker)
        try:
            if contents is None:
                return self._executor.submit(_read, batch)
            return self._executor.submit(_frame, batch, contents)
        except BrokenProcessPool as error:  # an earlier batch broke it; `take` starts another
            broken: Future[list[Answer]] = Future()
            broken.set_exception(error)
            return broken

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


def _begin(tree: Tree, spec: TileSpec, large: Lock) -> None:
    global _worker  # noqa: PLW0603  a process of the pool has no other place to keep it
    _worker = _Worker(tree, spec, large)


def _read(batch: Sequence[Request]) -> list[Answer]:
    assert _worker is not None  # the pool has begun with it
    return read_and_frame(_worker.tree, batch, _worker.spec, _worker.large)


def _frame(batch: Sequence[Request], contents: Sequence[bytes | Refusal]) -> list[Answer]:
    assert _worker is not None
    return [
        frame_content(content, request.turned_deg, _worker.spec, _worker.large)
        for content, request in zip(contents, batch, strict=True)
    ]
