"""Ctrl-C on the command line: it always ends the process, with one last line and no traceback."""

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

GRACE_SECONDS = 10  # after Ctrl-C, for what is being written
_is_stopping = False


def is_stopping() -> bool:
    """Tell whether Ctrl-C was pressed, whatever has become of its KeyboardInterrupt."""
    return _is_stopping


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process on the spot: for imports, which have nothing to put in order."""
    if not _is_ignored():
        signal.signal(signal.SIGINT, lambda *_: _end())


def stop_on_interrupt() -> None:
    """Let the first Ctrl-C raise KeyboardInterrupt; others change nothing.

    Libraries swallow it here and there, and C code may keep Python from raising it. So a thread,
    which the signal wakes by itself, ends the process after `GRACE_SECONDS` at the latest.
    """
    if _is_ignored():
        return
    # Not above: nothing that takes time is imported before Ctrl-C is taken care of.
    import socket
    import threading

    main_process = os.getpid()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiver, sender), daemon=True).start()

    def stop(*_) -> None:
        global _is_stopping  # noqa: PLW0603
        if os.getpid() != main_process:  # a worker ends with the process that it serves
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # and what breaks then says nothing
            return
        if is_stopping():
            return
        _is_stopping = True
        # What breaks while everything ends is of no use to anybody.
        sys.unraisablehook = _say_nothing
        threading.excepthook = _say_nothing
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)


def ignore_interrupts() -> None:
    """Let Ctrl-C change nothing: all is done, and the process is about to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _say_nothing(_: object) -> None:
    pass


def _is_ignored() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # by nohup, or in the background


def _watch(receiver: "socket.socket", _sender: "socket.socket") -> None:
    while signals := receiver.recv(64):
        if signal.SIGINT in signals:
            time.sleep(GRACE_SECONDS)
            _end()


def _end() -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes that train, one speaks
        os.write(2, b"\nStopped.\n")
    os._exit(1)
