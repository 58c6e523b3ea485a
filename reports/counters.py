"""What the kernel's own counters of MPTCP say: which case moves which, and which none does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from mbtest.results import Results, Run

GROUP = "MPTcpExt"
"""How the kernel's names for its counters of MPTCP begin."""
WITNESS = "witness"
"""The rule of findings that say where a stack and its packets disagree."""
LISTED = 6
"""Cases that are named for a counter; the report says how many more there are."""

MEANING: Mapping[str, Mapping[str, str]] = {
    "fallback": {
        "MPCapableFallbackSYNACK": "the SYN/ACK refused MP_CAPABLE",
        "MPCapableFallbackACK": "the third ACK had no MP_CAPABLE",
        "MPCapableDataFallback": "the first segment after the handshake had neither MP_CAPABLE nor a DSS",
        "MPCapableSYNTXDrop": "SYNs with MP_CAPABLE went unanswered, one without was sent",
        "Blackhole": "and was answered: no MP_CAPABLE for an hour",
        "MPCapableSYNTXDisabled": "a connection opened without MP_CAPABLE in that hour",
        "DssFallback": "data with no mapping, or with one that is wrong",
        "DSSCorruptionFallback": "data that does not fit its mapping",
        "SimultConnectFallback": "both hosts opened the connection at the same time",
        "MD5SigFallback": "TCP MD5 signatures leave no room for MPTCP",
        "MPFallbackTokenInit": "no token could be had that is not in use",
        "FallbackFailed": "fallback was due, and not possible any more",
    },
    "failure, checksum, infinite mapping": {
        "DataCsumErr": "a DSS checksum was wrong",
        "MPFailTx": "MP_FAIL sent",
        "MPFailRx": "MP_FAIL received",
        "InfiniteMapTx": "fallback with an infinite mapping",
        "InfiniteMapRx": "infinite mapping received",
        "DSSNotMatching": "a mapping within another that differs",
        "DSSNoMatchTCP": "a mapping of other octets than those it came with",
        "SubflowStale": "a subflow that gets nowhere is no longer used",
        "SubflowRecover": "a stale subflow that is used again",
    },
    "reset": {
        "MPRstTx": "MP_TCPRST sent",
        "MPRstRx": "MP_TCPRST received",
        "MPFastcloseTx": "MP_FASTCLOSE sent",
        "MPFastcloseRx": "MP_FASTCLOSE received",
        "DSSCorruptionReset": "data that does not fit its mapping, where fallback is not possible",
        "DssReset": "data with no mapping, where fallback is not possible",
        "MD5SigReset": "TCP MD5 signatures leave no room for MPTCP",
        "MPCapableEndpAttempt": "a connection to a port that is for joins alone",
    },
    "join": {
        "MPJoinNoTokenFound": "the token is that of no connection",
        "MPJoinSynAckHMacFailure": "wrong HMAC in the SYN/ACK",
        "MPJoinAckHMacFailure": "wrong HMAC in the third ACK",
        "MPJoinRejected": "more subflows than are allowed",
        "MPJoinPortSynRx": "SYN to a port that was announced",
        "MPJoinPortSynAckRx": "and its SYN/ACK",
        "MPJoinPortAckRx": "and its third ACK",
        "MPJoinSynTxCreatSkErr": "no socket could be had",
        "MPJoinSynTxBindErr": "the address is not the host's",
        "MPJoinSynTxConnectErr": "no route",
        "MismatchPortSynRx": "SYN to a port that was not announced",
        "MismatchPortAckRx": "third ACK to a port that was not announced",
    },
    "addresses and priorities": {
        "AddAddr": "ADD_ADDR received",
        "EchoAdd": "its echo received",
        "PortAdd": "ADD_ADDR with a port received",
        "AddAddrTxDrop": "no room for an ADD_ADDR",
        "RmAddr": "REMOVE_ADDR received",
        "RmAddrTx": "REMOVE_ADDR sent",
        "RmSubflow": "a subflow closed because its own address was removed",
        "MPPrioTx": "MP_PRIO sent",
        "MPPrioRx": "MP_PRIO received",
    },
}
"""What counters of fallback, failure, reset, joins and addresses count, in the report's order."""

WHY_NOT: Mapping[str, str] = {
    "MPFallbackTokenInit": "takes keys whose tokens collide, four times in a row; keys are of chance",
    "MD5SigFallback": "setsockopt(TCP_MD5SIG) on a socket of MPTCP, listening or not, ends in ENOPROTOOPT",
    "FallbackFailed": "takes a join while the first subflow is unconfirmed; Linux joins on what confirms it",
    "MPJoinSynTxCreatSkErr": "takes a kernel that is out of memory; no packet tells of it",
    "MPJoinSynTxConnectErr": "takes a host without a route to its peer; no packet tells of it",
    "MismatchPortAckRx": "takes a port that is withdrawn between SYN and third ACK, its listener being there",
}
"""Why no case moves a counter."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """A run that shows something, and the case that it is of."""

    case: str
    run: str
    index: int
    """The run's place among all runs."""
    by: int = 1
    """How far it moved a counter."""


@dataclasses.dataclass(frozen=True)
class Counter:
    """A counter, and what moved it."""

    name: str
    meaning: str = ""
    total: int = 0
    runs: int = 0
    movers: tuple[Shown, ...] = ()
    """Of cases that move it the run that moved it most; not all, where there are many."""
    more: int = 0
    """Further cases."""
    contradicted: tuple[Shown, ...] = ()
    """Runs whose packets say otherwise."""
    why_not: str = ""


@dataclasses.dataclass(frozen=True)
class Counters:
    """The counters that there are."""

    groups: dict[str, list[Counter]]
    """Those that have a meaning here, by what they tell of."""
    others: list[Counter]
    """All others, by name."""
    sockets: dict[str, list[Shown]]
    """What sockets say of themselves, and in which runs packets say otherwise."""

    @property
    def unmoved(self) -> list[Counter]:
        """Those of the groups that nothing moved."""
        return [one for group in self.groups.values() for one in group if not one.total]

    @property
    def number(self) -> int:
        """How many the groups have."""
        return sum(map(len, self.groups.values()))


def counters_of(results: Results) -> Counters | None:
    """Return what moved the counters of the kernels; None where no stack had any."""
    known = {
        name.removeprefix(GROUP)
        for run in results.runs
        for state in run.stacks.values()
        for name in state.knows
    }
    if not known:
        return None
    moved, contradicted = _moved(results.runs), _contradicted(results.runs)

    def counter(name: str, meaning: str = "") -> Counter:
        movers = moved.get(name, {})
        return Counter(
            name,
            meaning,
            total=sum(one.by for runs in movers.values() for one in runs),
            runs=sum(map(len, movers.values())),
            movers=tuple(max(runs, key=lambda one: one.by) for runs in list(movers.values())[:LISTED]),
            more=max(0, len(movers) - LISTED),
            contradicted=tuple(contradicted.get(name, ())),
            why_not="" if movers else WHY_NOT.get(name, ""),
        )

    groups = {
        group: [counter(name, meaning) for name, meaning in meanings.items() if name in known]
        for group, meanings in MEANING.items()
    }
    told = {one.name for group in groups.values() for one in group}
    return Counters(
        {group: counters for group, counters in groups.items() if counters},
        [counter(name) for name in sorted(known - told)],
        {name: runs for name, runs in sorted(contradicted.items()) if name not in known},
    )


def _moved(runs: Iterable[Run]) -> dict[str, dict[str, list[Shown]]]:
    """Return the runs that moved each counter, by case."""
    found: dict[str, dict[str, list[Shown]]] = {}
    for index, run in enumerate(runs):
        moves: dict[str, int] = {}
        for state in run.stacks.values():
            for name, by in state.counters.items():
                if name.startswith(GROUP):
                    moves[name] = moves.get(name, 0) + by
        for name, by in moves.items():
            cases = found.setdefault(name.removeprefix(GROUP), {})
            cases.setdefault(run.case, []).append(Shown(run.case, run.id, index, by))
    return found


def _contradicted(runs: Iterable[Run]) -> dict[str, list[Shown]]:
    """Return the runs whose packets and stacks disagreed, by what they disagreed on."""
    found: dict[str, list[Shown]] = {}
    for index, run in enumerate(runs):
        # Such a finding begins with the name of what it is about.
        for name in dict.fromkeys(
            one.expected.partition(" ")[0] for one in run.findings if one.rule == WITNESS
        ):
            found.setdefault(name, []).append(Shown(run.case, run.id, index))
    return found
