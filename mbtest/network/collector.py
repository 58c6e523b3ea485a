"""The garbage collector's rest while a run goes on, and its pace from run to run."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 50_000
"""Objects made, less those that went, after which the collector works: those of several runs."""


def collect_seldom() -> None:
    """Have the garbage collector work once in several runs, for a process that carries out many.

    As it is set up by Python, it goes through all that a run captured as soon as the run is over, when none
    of it is garbage yet, and twice more later. What is there already is not looked at any more.
    """
    gc.freeze()
    gc.set_threshold(SELDOM, 10, 10)


@contextmanager
def at_rest() -> Iterator[None]:
    """Keep the garbage collector from working meanwhile.

    It would go through all that was captured, again and again, while packets wait.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
