"""What PID 1 does on a machine that has one: take note of orphans that end.

Where nobody does, as in many a container, a killed process whose parent was killed as well keeps
its number for seconds, and whoever asks by number takes it for alive. DVC does.
"""

import ctypes
import os
import signal
import sys

from tasks.lifeline import bind_to_parent

PR_SET_CHILD_SUBREAPER = 36


def stand_in_for_init() -> None:
    """Go on in a child; this process takes note of its orphans, and ends as the child does.

    Raises:
        OSError: the kernel refuses; Linux alone can do it.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "orphans cannot be taken in")
    init = os.getpid()
    child = os.fork()
    if child == 0:
        bind_to_parent(init)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child ends by it, and then this process
    while True:
        pid, status = os.wait()
        if pid == child:
            sys.exit(os.waitstatus_to_exitcode(status))
