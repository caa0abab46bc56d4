"""Episodes side by side on a processor: each on a thread of its own, which takes one core.

The operations of an episode are small, and a small operation gains little from two cores and
waits for the slower one; whole episodes share nothing. What an episode gives is then the same
whatever the number of threads. A GPU, which has a queue of its own, is given one at a time.
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import nn

from tasks.device import PROCESSOR, place_of

Result = TypeVar("Result")
Module = TypeVar("Module", bound=nn.Module)


def side_by_side(work: Callable[[Module, int], Result], module: Module, count: int) -> list[Result]:
    """Do `count` pieces of work, as many at a time as torch may use threads.

    Args:
        work: is called with a module of its thread's own and the number of the piece.
        module: is copied for each thread but for its parameters and buffers, which are shared:
            calling a module with other parameters changes it for as long as the call takes.
        count: how many pieces.

    Returns:
        What each piece gave, in order.
    """
    if place_of(module) != PROCESSOR:
        return [work(module, number) for number in range(count)]
    threads = torch.get_num_threads()
    lanes = max(1, min(threads, count))

    def lane(first: int) -> Sequence[Result]:
        torch.set_num_threads(1)
        own = _twin(module)
        return [work(own, number) for number in range(first, count, lanes)]

    try:
        # Also for one lane: a thread's own count of threads is left with it.
        with ThreadPoolExecutor(lanes) as pool:
            done = list(pool.map(lane, range(lanes)))
    finally:
        torch.set_num_threads(threads)
    return [done[number % lanes][number // lanes] for number in range(count)]


def _twin(module: Module) -> Module:
    shared = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})
