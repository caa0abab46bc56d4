"""How the process holds the memory that a training step gives back.

A step asks for the same blocks as the step before it. By default glibc hands the largest of them
back to the system at once, and the next step gets them as new pages, each of which the system
clears first: 5,000 pages a step in pretraining of the default, 13 million in its meta-training.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # numbers of malloc.h
_NEVER, _NONE = -1, 0


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, for what it asks for next, until it ends.

    No number that is computed changes. What the process holds never shrinks, so this is for one
    that does the same work over and over.

    Returns:
        Whether it does from now on; not where the C library is another one than glibc.

    Source: mallopt(3), `M_TRIM_THRESHOLD` and `M_MMAP_MAX`.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    settings = ((_TRIM_THRESHOLD, _NEVER), (_MMAP_MAX, _NONE))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
