"""How Ctrl-C reaches a command with worker processes: they leave it to the one that started them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["interrupts_held", "leave_interrupts"]


def leave_interrupts() -> None:
    """Let Ctrl-C be the business of the process that started this one; the first thing a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait while workers are started, which then wait with it until they `leave_interrupts`.

    A process inherits what is held, so that none ends with a traceback between its start and its first work.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
