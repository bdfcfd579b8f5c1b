"""Becomes another program that does not outlive the process which asked for it.

Run as a script, by its path: `python launch.py PARENT_PID PROGRAM ARGUMENT…`. Needs nothing but
the standard library. On Linux the kernel sends SIGTERM when the parent dies, however it dies;
elsewhere a parent that is killed with SIGKILL leaves its children behind.
"""

import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def main(arguments: list[str]) -> int:
    """Take over this process; returns only if the parent is gone already."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # it died before the kernel knew that we care
        return 1
    return os.execv(program[0], program)  # noqa: S606 - a list of arguments: no shell reads them


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
