"""Becomes PostgreSQL's server in a process of its own: only this small program runs between fork and exec.

Run as `python -I -S launch.py PARENT UID GID WATCHED PROGRAM ARGUMENT…`: drops root's rights when UID is not -1, and
makes the server end with us, even after `kill -9`. On Linux the kernel sends the signal (WATCHED is -1); elsewhere this
process stays, reads the pipe WATCHED, and passes its end on. It imports the standard library only, to start in 20 ms.
"""

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
_ENDING = signal.SIGINT
"""PostgreSQL's fast shutdown: open transactions are rolled back, a checkpoint is written."""


def main(arguments: list[str]) -> None:
    parent, uid, gid, watched = (int(text) for text in arguments[:4])
    command = arguments[4:]
    os.umask(0o077)
    os.chdir("/")
    if watched >= 0:
        _watch(watched, uid, gid, command)
        return
    _drop(uid, gid)
    # After the change of user, which would clear it; the signal is tied to the thread that started us.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(_ENDING), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit("the parent ended")
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def _drop(uid: int, gid: int) -> None:
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def _watch(watched: int, uid: int, gid: int, command: list[str]) -> None:
    child = os.fork()
    if child == 0:
        os.close(watched)
        _drop(uid, gid)
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, lambda received, _: os.kill(child, received))

    def pass_on() -> None:
        while os.read(watched, 1):
            pass
        os.kill(child, _ENDING)

    threading.Thread(target=pass_on, daemon=True).start()
    _, status = os.waitpid(child, 0)
    os._exit(abs(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    main(sys.argv[1:])
