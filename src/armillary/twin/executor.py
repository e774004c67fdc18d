"""One seam for independent work: in this process, or spread over several. Only our `processes`."""

from __future__ import annotations

import copyreg
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from armillary.processes import interrupts_held, leave_interrupts

T = TypeVar("T")


def _proxy(items: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(items)


def _reduce_proxy(proxy: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _proxy, (dict(proxy),)


copyreg.pickle(MappingProxyType, _reduce_proxy)  # facts of records travel too


def run_all(calls: Sequence[partial[T]], jobs: int, done: Callable[[], None]) -> list[T]:
    """Run independent calls and give their results in order.

    Parameters
    ----------
    calls : sequence of functools.partial
        Of functions at the top of a module, with arguments that can be pickled.
    jobs : int
        Processes; 1 runs everything here. [-]
    done : callable
        Called after each result, in order.

    Notes
    -----
    An error, or Ctrl-C, stops the processes at once.
    """
    if jobs <= 1 or len(calls) <= 1:
        results = []
        for call in calls:
            results.append(call())
            done()
        return results
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(jobs, len(calls)), mp_context=context, initializer=leave_interrupts)
    try:
        with interrupts_held():
            futures = [pool.submit(call) for call in calls]
        results = []
        for future in futures:
            results.append(future.result())
            done()
        return results
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
