"""Conformance rules: what there is of them, and who applies them.

A rule judges what a host sent by what that host had sent and received until then. It returns words where
the host broke it, and None otherwise, also wherever the capture does not show enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from mbtest.observe.host import HostTrace
from mbtest.observe.mappings import Mapping
from mbtest.observe.state import Moment
from mbtest.wire import FIN, RST, SYN

MUST: Final = "MUST"
SHOULD: Final = "SHOULD"

SEGMENT: Final = "segment"
DATA: Final = "data"
"""Segments with data."""
ON_SYN: Final = "SYN"
ON_RST: Final = "RST"
ON_FIN: Final = "FIN"
LATER: Final = "later"
"""Segments that are neither SYN nor RST."""
MAPPING: Final = "mapping"
DATA_ACK: Final = "Data ACK"
OPTIONS: Final = "options"
"""Segments with any option of MPTCP."""
CHECKED: Final = "checked"
"""A mapping of the host's whose octets were all sent and whose checksum is wrong."""
END: Final = "end"
"""The end of the capture."""
KEPT = 10
"""Breaches of one rule on one connection that are kept; more are counted."""

Test = Callable[..., Any]


class Rule(NamedTuple):
    """A rule."""

    id: str
    level: str
    clause: str
    """The section of the first of its requirements."""
    claim: str
    on: object
    exact: bool
    """Whether it needs packets that were seen at the host itself."""
    test: Test
    requirements: tuple[str, ...]
    """Ids of what it tests, of testcases/requirements.toml."""


class Breach(NamedTuple):
    """A rule that a host broke."""

    rule: str
    level: str
    clause: str
    frame: int
    time: int
    """Run clock, microseconds."""
    who: str
    """`client` or `server`."""
    connection: int
    words: str


RULES: dict[str, Rule] = {}


def rule(
    name: str, level: str, requires: str | tuple[str, ...], claim: str, on: object, *, exact: bool = False
) -> Callable[[Test], Test]:
    """Register a rule.

    name: permanent words. requires: ids of requirements, the one that governs first. on: what the rule is
    asked about: one of the constants above, or a class of option, which it is then given as well. exact: see
    `Rule`.
    """
    if name in RULES:
        raise ValueError(f"two rules are called {name}")
    ids = (requires,) if isinstance(requires, str) else requires

    def register(test: Test) -> Test:
        RULES[name] = Rule(name, level, _clause(ids[0]), claim, on, exact, test, ids)
        return test

    return register


def _clause(requirement: str) -> str:
    """Return the section that a requirement is of, as `RFC 8684 §3.3.1`."""
    document, _, section = requirement.partition("/")[0].rpartition("-")
    return f"{document.replace('RFC', 'RFC ')} §{section}"


class Rulebook:
    """Applies rules to what the hosts of one capture do, and keeps the breaches."""

    def __init__(self, rules: Iterator[Rule] | None = None) -> None:
        """Apply these rules, all of them by default."""
        self.breaches: list[Breach] = []
        self.more: dict[tuple[str, str, int], int] = {}
        """How many breaches were found of a rule, by a host, on a connection."""
        self._rules = list(rules if rules is not None else RULES.values())
        self._tables: dict[bool, dict[object, list[tuple[Rule, Test]]]] = {}
        for exact in (False, True):
            table: dict[object, list[tuple[Rule, Test]]] = {}
            for one in self._rules:
                if exact or not one.exact:
                    table.setdefault(one.on, []).append((one, one.test))
            self._tables[exact] = table

    def sent(self, host: HostTrace, moment: Moment) -> None:
        """Judge a segment that is about to be taken in."""
        table = self._tables[host.exact]
        get = table.get
        flags = moment.flags
        kinds: list[object] = [SEGMENT]
        if flags & (SYN | RST):
            kinds.append(ON_SYN if flags & SYN else ON_RST)
        else:
            kinds.append(LATER)
        if flags & FIN:
            kinds.append(ON_FIN)
        if moment.size:
            kinds.append(DATA)
        if moment.mapping is not None:
            kinds.append(MAPPING)
        if moment.data_ack is not None:
            kinds.append(DATA_ACK)
        if moment.options:
            kinds.append(OPTIONS)
        for kind in kinds:
            for one, test in get(kind, ()):
                if (words := test(host, moment)) is not None:
                    self._note(one, host, moment, words)
        for option in moment.options:
            for one, test in get(type(option), ()):
                if (words := test(host, moment, option)) is not None:
                    self._note(one, host, moment, words)

    def checked(self, host: HostTrace, moment: Moment, mapping: Mapping) -> None:
        """Judge a mapping whose octets do not have its checksum."""
        for one, test in self._tables[host.exact].get(CHECKED, ()):
            if (words := test(host, moment, mapping)) is not None:
                self._note(one, host, moment, words)

    def finish(self, host: HostTrace, now: int) -> None:
        """Judge what a host never did. now: the time of the last packet, microseconds."""
        for one, test in self._tables[host.exact].get(END, ()):
            for connection, frame, time, words in test(host, now):
                self._keep(Breach(one.id, one.level, one.clause, frame, time, host.role, connection, words))
        self.breaches.sort(key=lambda breach: breach.frame)

    def _note(self, one: Rule, host: HostTrace, moment: Moment, words: str) -> None:
        number = moment.connection.number
        self._keep(Breach(one.id, one.level, one.clause, moment.frame, moment.time, host.role, number, words))

    def _keep(self, breach: Breach) -> None:
        key = (breach.rule, breach.who, breach.connection)
        count = self.more[key] = self.more.get(key, 0) + 1
        if count <= KEPT:
            self.breaches.append(breach)
