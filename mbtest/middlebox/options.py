"""Lists of options as boxes see them: which are named, which are more than padding, and what still fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from mbtest.wire import EndOfOptionList, MptcpOption, NoOperation, Segment, TcpOption

Option = TypeVar("Option", bound=TcpOption)
Forms = type[TcpOption] | tuple[type[TcpOption], ...]
MAX_OPTIONS = 40
"""Octets that the options of a segment can take (RFC 9293 §3.1)."""


class NamedOptions:
    """The options that a box acts on: those that any of these names; all of MPTCP's where none names any.

    forms: classes of mbtest.wire, one or several. kinds: 2 to 255. subtypes: of MPTCP options, 0 to 15.
    """

    def __init__(
        self, forms: Forms = (), kinds: tuple[int, ...] = (), subtypes: tuple[int, ...] = ()
    ) -> None:
        """Name options."""
        named = forms if isinstance(forms, tuple) else (forms,)
        self.forms = named if named or kinds or subtypes else (MptcpOption,)
        self._kinds = kinds
        self._subtypes = subtypes

    def __contains__(self, option: TcpOption) -> bool:
        """Whether an option is one of those."""
        if isinstance(option, self.forms) or option.kind in self._kinds:
            return True
        return isinstance(option, MptcpOption) and option.subtype in self._subtypes

    def among(self, options: Iterable[TcpOption]) -> tuple[TcpOption, ...]:
        """Return those of `options` that are named, in their order."""
        return tuple(option for option in options if option in self)


def changed(option: Option, **fields: Any) -> Option:
    """Return a copy of an option with other values in these fields."""
    return msgspec.structs.replace(option, **fields)


def bare(options: Iterable[TcpOption]) -> tuple[TcpOption, ...]:
    """Return the options without padding: no NOPs, and no End of Option List."""
    return tuple(option for option in options if not isinstance(option, (NoOperation, EndOfOptionList)))


def octets(options: Iterable[TcpOption]) -> int:
    """Return how many octets these options take, padding that is not among them aside."""
    return sum(len(option.encode()) for option in options)


def room(segment: Segment, largest: int) -> int:
    """Return how many octets the options of `segment` can take in a packet of at most `largest` octets.

    As many as they take now where the packet is larger already; 40 at most.
    """
    now = len(segment.option_block)
    return min(MAX_OPTIONS, now + max(0, largest - len(segment)) // 4 * 4)


def refitted(segment: Segment, options: Iterable[TcpOption], largest: int) -> Segment:
    """Return `segment` with these options, or as it is where they do not fit by `room`."""
    options = tuple(options)
    return segment.with_options(options) if octets(options) <= room(segment, largest) else segment
