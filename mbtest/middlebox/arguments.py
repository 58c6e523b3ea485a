"""Calls that a user writes, in a case or in a file: what does not fit them ends in a line with the remedy."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from mbtest.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return what follows the complaint about a name: the one that is like it, or all that there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names) or 'none'}"


def checked(
    function: Callable[P, R], name: str, meaning: Callable[[str], str] = lambda _: ""
) -> Callable[P, R]:
    """Return a method that raises UsageError, instead of TypeError, for arguments that do not fit it.

    name: how users know it. meaning: says of an argument, by its name, what it means.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError:
            if words := _misfit(function, name, meaning, args, kwargs):
                raise UsageError(words) from None
            raise

    return call


def _misfit(
    function: Callable[..., object],
    name: str,
    meaning: Callable[[str], str],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> str:
    """Return in words why arguments do not fit; empty where they do, and something else went wrong."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        # The first is the object itself.
        known = dict(list(signature.parameters.items())[1:])
        by_position = [one for one in known.values() if one.kind is not one.KEYWORD_ONLY]
        for key in kwargs:
            if key not in known:
                return f"{name} has no parameter {key!r}{did_you_mean(key, known)}"
        if len(args) - 1 > len(by_position):
            there = ", ".join(one.name for one in by_position) or "none"
            return f"{name} was given {len(args) - 1} values by position; those that it takes so: {there}"
        for one in by_position[: len(args) - 1]:
            if one.name in kwargs:
                return f"{name} was given {one.name!r} twice: by position, and by name"
        for one in list(known.values())[len(args) - 1 :]:
            if one.default is one.empty and one.name not in kwargs:
                told = meaning(one.name)
                return f"{name} lacks {one.name!r}{f' ({told})' if told else ''}; it must be given"
        return f"{name}: {error}"
    return ""
