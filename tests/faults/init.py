"""`python -m tests.faults.init PROGRAM...`: what PID 1 does on a machine that has one.

It takes note of orphans that end. Where nobody does, as in many a container, a killed process
whose parent was killed as well keeps its number for seconds, and whoever asks by number takes it
for alive. DVC does.
"""

import ctypes
import os
import signal
import sys

from tasks.lifeline import bind_to_parent

PR_SET_CHILD_SUBREAPER = 36


def stand_in_for_init(words: list[str]) -> int:
    """Run a program to its end, and take in the orphans that it leaves until then.

    Args:
        words: the program and its arguments.

    Returns:
        Its exit code.

    Raises:
        OSError: the kernel refuses, since Linux alone can do it; or there is no such program.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "orphans cannot be taken in")
    init = os.getpid()
    program = os.fork()
    if program == 0:
        bind_to_parent(init)
        os.execvp(words[0], words)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program ends by it, and then this process
    while True:
        pid, status = os.wait()
        if pid == program:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(stand_in_for_init(sys.argv[1:]))
