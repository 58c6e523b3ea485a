"""Which boxes each case puts on its paths: the case is called, and stopped where it would be carried out.

So nothing is guessed from its text, and no packet is sent.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from mbtest import content
from mbtest.harness.case import Case, Choice, Variant, cases_of, variants
from mbtest.harness.fixture import RunFixture
from mbtest.harness.plan import boxes_of
from mbtest.harness.topologies import topology
from mbtest.middlebox import Middlebox


def users() -> dict[str, tuple[str, ...]]:
    """Return the ids of the cases that use each box, by its name; a box that none uses is not there."""
    found: dict[str, dict[str, None]] = {}
    for function, case in _cases():
        for name in boxes_used(function, case):
            found.setdefault(name, {})[case.id] = None
    return {name: tuple(cases) for name, cases in found.items()}


def boxes_used(function: Callable[..., None], case: Case) -> tuple[str, ...]:
    """Return the names of the boxes that a case puts on its paths, in any of its variants.

    Those that stand in another box count as well. None for a case that wants more than `run`, or that
    breaks before it comes to its boxes: it says so when it runs.
    """
    if set(inspect.signature(function).parameters) != {"run"}:
        return ()
    names: dict[str, None] = {}
    for variant in variants(case, Choice(every=True)):
        names.update(dict.fromkeys(names_of(_rehearse(function, case, variant))))
    return tuple(names)


class _Stopped(BaseException):
    """Ends a case where it would be carried out."""

    def __init__(self, boxes: Sequence[Middlebox]) -> None:
        """Keep what the case put on its paths."""
        self.boxes = boxes


class _Rehearsal(RunFixture):
    """A run that is not carried out."""

    def __call__(self, boxes: Middlebox | Sequence[Middlebox] = (), **_: Any) -> NoReturn:
        """Stop the case."""
        raise _Stopped(boxes_of(boxes))


def _rehearse(function: Callable[..., None], case: Case, variant: Variant) -> Sequence[Middlebox]:
    try:
        function(_Rehearsal(case, variant, 0, topology, ()))
    except _Stopped as stopped:
        return stopped.boxes
    except Exception:  # noqa: BLE001 - whatever a case raises becomes its verdict when it runs
        return ()
    return ()


def _cases() -> Iterator[tuple[Callable[..., None], Case]]:
    for module in content.modules("testcases"):
        for value in vars(module).values():
            if getattr(value, "__module__", "") == module.__name__:
                for case in cases_of(value):
                    yield value, case


def names_of(boxes: Iterable[Middlebox]) -> tuple[str, ...]:
    """Return the names of boxes and of those that stand in them, each once."""
    names: dict[str, None] = {}
    for box in boxes:
        names[box.name] = None
        for field in dataclasses.fields(box):
            value = getattr(box, field.name) if field.init else None
            parts = value if isinstance(value, (tuple, list)) else (value,)
            inner = (part for part in parts if isinstance(part, Middlebox))
            names.update(dict.fromkeys(names_of(inner)))
    return tuple(names)
