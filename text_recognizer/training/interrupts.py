"""Ctrl-C while the command line still imports."""

import os
import signal

from text_recognizer.language import _


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process on the spot, since nothing needs to be put in order yet."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # by nohup, or in the background
        signal.signal(signal.SIGINT, _end)


def _end(*_signal) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed again, it would say so again
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes that train, one speaks
        os.write(2, f"\n{_('Stopped.')}\n".encode())
    os._exit(1)
