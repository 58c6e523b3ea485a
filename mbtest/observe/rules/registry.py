"""Conformance rules: what there is of them, and who applies them.

A rule judges what a host sent by what that host had sent and received until then. It returns words where
the host broke it, and None otherwise, also wherever the capture does not show enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from mbtest.observe.host import HostTrace
from mbtest.observe.mappings import Mapping
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import EXACT, conditions
from mbtest.wire import MptcpOption

MUST: Final = "MUST"
SHOULD: Final = "SHOULD"

CHECKED: Final = "checked"
"""A mapping of the host's whose octets were all sent and whose checksum is wrong."""
END: Final = "end"
"""The end of the capture."""
KEPT = 10
"""Breaches of one rule on one connection that are kept; more are counted."""

Test = Callable[..., Any]
On = int | str | type[MptcpOption]
"""What a rule is asked about: conditions, which all have to be met; CHECKED or END; a form of option."""


class Rule(NamedTuple):
    """A rule."""

    id: str
    level: str
    clause: str
    """The section of the first of its requirements."""
    claim: str
    on: On
    exact: bool
    """Whether it needs packets that were seen at the host itself."""
    test: Test
    requirements: tuple[str, ...]
    """Ids of what it tests, of testcases/requirements.toml."""
    by_chance: bool = False
    """Whether it depends on timing whether a host breaks it in a run that is about something else."""


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
    name: str,
    level: str,
    requires: str | tuple[str, ...],
    claim: str,
    on: On,
    *,
    exact: bool = False,
    by_chance: bool = False,
) -> Callable[[Test], Test]:
    """Register a rule.

    name: permanent words. requires: ids of requirements, the one that governs first. on: see `On`; a rule on
    a form of option is given the option as well. exact, by_chance: see `Rule`.
    """
    if name in RULES:
        raise ValueError(f"two rules are called {name}")
    ids = (requires,) if isinstance(requires, str) else requires

    def register(test: Test) -> Test:
        RULES[name] = Rule(name, level, _clause(ids[0]), claim, on, exact, test, ids, by_chance)
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
        self._others = {exact: self._not_on_segments(exact) for exact in (False, True)}
        self._plans: dict[int, list[tuple[Rule, Test]]] = {}

    def _not_on_segments(self, exact: bool) -> dict[On, list[tuple[Rule, Test]]]:
        found: dict[On, list[tuple[Rule, Test]]] = {}
        for one in self._rules:
            if not isinstance(one.on, int) and (exact or not one.exact):
                found.setdefault(one.on, []).append((one, one.test))
        return found

    def _plan(self, met: int) -> list[tuple[Rule, Test]]:
        """Return the rules that are about segments sent under these conditions."""
        plan = self._plans[met] = [
            (one, one.test)
            for one in self._rules
            if isinstance(one.on, int) and not (one.on | (EXACT if one.exact else 0)) & ~met
        ]
        return plan

    def sent(self, host: HostTrace, moment: Moment) -> None:
        """Judge a segment that is about to be taken in."""
        exact = host.exact
        met = conditions(moment, exact=exact)
        plan = self._plans.get(met)
        for one, test in plan if plan is not None else self._plan(met):
            if (words := test(host, moment)) is not None:
                self._note(one, host, moment, words)
        for option in moment.options:
            for one, test in self._others[exact].get(type(option), ()):
                if (words := test(host, moment, option)) is not None:
                    self._note(one, host, moment, words)

    def checked(self, host: HostTrace, moment: Moment, mapping: Mapping) -> None:
        """Judge a mapping whose octets do not have its checksum."""
        for one, test in self._others[host.exact].get(CHECKED, ()):
            if (words := test(host, moment, mapping)) is not None:
                self._note(one, host, moment, words)

    def finish(self, host: HostTrace, now: int) -> None:
        """Judge what a host never did. now: the time of the last packet, microseconds."""
        for one, test in self._others[host.exact].get(END, ()):
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
