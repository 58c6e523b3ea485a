"""Work that is spread over the processors: what is computed from files and values alone."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

ITEMS_PER_PROCESS = 16
"""A process more is started for this many items at least."""
_AT_ONCE = 4

_work: list[Callable[[int], Any]] = []
"""What a process does with the item of a number."""


def processors() -> int:
    """Return how many processors this process may use."""
    # Not every system can confine a process to some of its processors.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    function: Callable[[Item], Answer], items: Sequence[Item], most: int | None = None
) -> list[Answer]:
    """Return what a function makes of each item, in their order.

    function: what it changes may be lost, and its answers have to be fit for pickle. most: processes,
    one for each processor by default.
    """
    number = min(most or processors(), len(items) // ITEMS_PER_PROCESS)
    if number < 2 or "fork" not in multiprocessing.get_all_start_methods():
        return [function(item) for item in items]
    # A forked process has function and items as they are: only numbers and answers go to and fro.
    work = (lambda at: function(items[at]),)
    with multiprocessing.get_context("fork").Pool(number, _work.extend, (work,)) as pool:
        return pool.map(_do, range(len(items)), _AT_ONCE)


def _do(number: int) -> Any:
    return _work[-1](number)
