"""A second witness: what a stack says of itself, held against what its packets show.

Each line of the table names a counter, what of the packets it has to agree with, and how. A counter that the
kernel lacks is not asked for, nor is one where packets cannot tell. What is left is a contradiction, and a
finding of its own: a stack that counts what it never sent, or that is deaf to what reached it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mbtest.harness import account as wire
from mbtest.harness.account import Account, Found
from mbtest.observe import Observation
from mbtest.observe.ranges import unwrap64
from mbtest.observe.state import Connection, Mode
from mbtest.results import Evidence, StackState
from mbtest.wire import Dss, MpFail, MpFastclose, MpJoinAck, MpJoinSyn, MpJoinSynAck, MpPrio, MpTcprst

GROUP = "MPTcpExt"
"""How the kernel's names for its counters of MPTCP begin."""
SHOWN = 3
"""Packets that a contradiction names."""


class Comparison(enum.Enum):
    """How a counter has to agree with the packets."""

    EXACTLY = "exactly"
    AT_LEAST = "at least"
    AT_MOST = "at most"

    def holds(self, counted: int, shown: int) -> bool:
        """Whether what was counted agrees with what is shown."""
        if self is Comparison.EXACTLY:
            return counted == shown
        return counted >= shown if self is Comparison.AT_LEAST else counted <= shown


EXACTLY, AT_LEAST, AT_MOST = Comparison


class Contradiction(NamedTuple):
    """A stack says one thing of itself, and its packets another."""

    host: str
    """client, server."""
    counter: str
    """As `MPFailTx`; of what a socket says of itself the field, as `rcv_nxt`."""
    expected: str
    actual: str
    evidence: tuple[Evidence, ...] = ()


class Line(NamedTuple):
    """A counter, how it has to agree with the packets, those packets, and what they are."""

    counter: str
    comparison: Comparison
    found: Callable[[Account], Found]
    words: str

    def hold(self, account: Account, state: StackState) -> Contradiction | None:
        """Return the contradiction, or None."""
        if GROUP + self.counter not in state.knows:
            return None
        found = self.found(account)
        counted = state.counters.get(GROUP + self.counter, 0)
        if found is None or self.comparison.holds(counted, len(found)):
            return None
        return Contradiction(
            account.role,
            self.counter,
            f"{self.counter} of the {account.role} is {self.comparison.value} {len(found)}: {self.words}",
            f"it is {counted}",
            tuple(found[:SHOWN]),
        )


TABLE = (
    Line("MPCapableSYNTX", EXACTLY, wire.capable_opened, "connections that it opened with MP_CAPABLE"),
    Line("MPCapableSYNRX", AT_MOST, wire.capable_asked, "SYNs with MP_CAPABLE that reached it"),
    Line("MPCapableSYNRX", AT_LEAST, wire.capable_granted, "connections that it granted MP_CAPABLE"),
    Line("MPCapableSYNACKRX", AT_MOST, wire.capable_accepted, "SYN/ACKs with MP_CAPABLE that reached it"),
    Line("MPCapableSYNACKRX", AT_LEAST, wire.capable_confirmed, "connections on which it sent both keys"),
    Line("MPCapableACKRX", AT_MOST, wire.capable_granted, "connections that it granted MP_CAPABLE"),
    Line("MPCapableFallbackACK", AT_MOST, wire.capable_granted, "connections that it granted MP_CAPABLE"),
    Line("MPCapableFallbackSYNACK", EXACTLY, wire.capable_refused, "connections refused MP_CAPABLE"),
    Line("MPCapableSYNTXDrop", EXACTLY, wire.capable_given_up, "SYNs repeated without MP_CAPABLE"),
    Line("Blackhole", AT_MOST, wire.capable_given_up, "SYNs repeated without MP_CAPABLE"),
    Line("MPJoinSynTx", EXACTLY, wire.join_opened, "subflows that it opened with MP_JOIN"),
    Line("MPJoinSynRx", AT_MOST, wire.received(MpJoinSyn), "SYNs with MP_JOIN that reached it"),
    Line("MPJoinSynRx", AT_LEAST, wire.join_granted, "subflows that it answered with MP_JOIN"),
    Line("MPJoinSynBackupRx", AT_MOST, wire.join_asked_as_backup, "SYNs with MP_JOIN and flag B"),
    Line("MPJoinNoTokenFound", AT_MOST, wire.join_unknown, "SYNs with MP_JOIN and an unknown token"),
    Line("MPJoinSynAckRx", AT_MOST, wire.received(MpJoinSynAck), "SYN/ACKs with MP_JOIN that reached it"),
    Line("MPJoinSynAckRx", AT_LEAST, wire.join_confirmed, "subflows on which it proved itself"),
    Line("MPJoinSynAckHMacFailure", EXACTLY, wire.join_wrong_answers, "SYN/ACKs whose HMAC is wrong"),
    Line("MPJoinAckRx", AT_MOST, wire.received(MpJoinAck), "third ACKs with MP_JOIN that reached it"),
    Line("MPJoinAckRx", AT_LEAST, wire.join_kept, "joins with a right HMAC that it kept"),
    Line("MPJoinAckHMacFailure", EXACTLY, wire.join_wrong_proofs, "third ACKs whose HMAC is wrong"),
    Line("AddAddrTx", EXACTLY, wire.announced(is_sent=True), "ADD_ADDRs that it sent"),
    Line("AddAddr", AT_MOST, wire.announced(is_sent=False), "ADD_ADDRs that reached it"),
    Line("EchoAddTx", EXACTLY, wire.announced(is_sent=True, echo=True), "echoes that it sent"),
    Line("EchoAdd", AT_MOST, wire.announced(is_sent=False, echo=True), "echoes that reached it"),
    Line("PortAdd", AT_MOST, wire.announced_with_port, "ADD_ADDRs with a port that reached it"),
    Line("RmAddrTx", EXACTLY, wire.removed(is_sent=True), "address IDs that it removed"),
    Line("RmAddr", AT_MOST, wire.removed(is_sent=False), "address IDs that its peer removed"),
    Line("MPPrioTx", EXACTLY, wire.sent(MpPrio), "MP_PRIOs that it sent"),
    Line("MPPrioRx", AT_MOST, wire.received(MpPrio), "MP_PRIOs that reached it"),
    Line("DataCsumErr", AT_MOST, wire.wrong_checksums, "mappings that reached it with wrong checksums"),
    Line("DataCsumErr", AT_LEAST, wire.first_wrong_checksums, "subflows with a wrong checksum"),
    Line("MPFailTx", EXACTLY, wire.sent(MpFail), "MP_FAILs that it sent"),
    Line("MPFailRx", AT_MOST, wire.received(MpFail), "MP_FAILs that reached it"),
    Line("MPFailRx", AT_LEAST, wire.failures_heard, "subflows that an MP_FAIL reached it on"),
    Line("InfiniteMapTx", EXACTLY, wire.infinite_sent, "subflows on which it sent an infinite mapping"),
    Line("InfiniteMapRx", AT_MOST, wire.received(Dss), "infinite mappings that reached it"),
    Line("InfiniteMapRx", AT_LEAST, wire.infinite_in_order, "infinite mappings that reached it in order"),
    Line("MPRstTx", EXACTLY, wire.sent(MpTcprst), "resets with a reason that it sent"),
    Line("MPRstRx", AT_MOST, wire.received(MpTcprst), "resets with a reason that reached it"),
    Line("MPRstRx", AT_LEAST, wire.was_reset_with_reason, "subflows that its peer reset with a reason"),
    Line("MPFastcloseTx", EXACTLY, wire.sent(MpFastclose), "MP_FASTCLOSEs that it sent"),
    Line("MPFastcloseRx", AT_MOST, wire.received(MpFastclose), "MP_FASTCLOSEs that reached it"),
)
FALLBACKS = (
    "MPCapableFallbackACK", "MPCapableFallbackSYNACK", "MPCapableSYNTXDrop", "MPCapableSYNTXDisabled",
    "MPFallbackTokenInit", "MPCapableDataFallback", "MD5SigFallback", "DssFallback", "SimultConnectFallback",
    "DSSCorruptionFallback",
)  # fmt: skip
"""Counters that each stand for a way to regular TCP that no option tells of."""
INFINITE = ("InfiniteMapTx", "InfiniteMapRx")


def contradictions(observation: Observation, stacks: Mapping[str, StackState]) -> list[Contradiction]:
    """Return where the packets of a run and what its stacks say of themselves do not agree.

    stacks: by host; what a kernel counted has to be of this run alone.
    """
    found: list[Contradiction] = []
    for role, state in stacks.items():
        causes = [name for name in FALLBACKS if state.counters.get(GROUP + name)]
        infinite = any(state.counters.get(GROUP + name) for name in INFINITE)
        is_tcp = bool(causes) or (state.still_mptcp is False and not infinite)
        account = Account(observation, role, has_fallen_back=is_tcp)
        found += [one for line in TABLE if (one := line.hold(account, state)) is not None]
        connection = account.connection
        if connection is not None and connection.mode is not Mode.UNKNOWN:
            found += _fallback(account, state, causes, infinite)
            if state.still_mptcp:
                found += _socket(account, connection, state)
    return found


def _fallback(
    account: Account, state: StackState, causes: Sequence[str], infinite: bool
) -> Iterator[Contradiction]:
    """Give where the stack says that it became regular TCP, or does not say so, and its packets differ.

    infinite: whether it counts an infinite mapping; those that it counts and did not send are in the table.
    """
    role, last = account.role, account.last_word()
    if account.has_fallen_back and account.speaks_to_the_end and last is not None and not account.was_reset:
        yield Contradiction(
            role,
            causes[0] if causes else "still_mptcp",
            f"packets of the {role} show that it became regular TCP",
            f"{' and '.join(causes) or 'its socket'} says so, and its last segment has a DSS",
            (last,),
        )
    plain = wire.went_on_as_tcp(account)
    is_silent = not (causes or infinite) and {GROUP + name for name in FALLBACKS} <= set(state.knows)
    if plain and (state.still_mptcp or is_silent):
        yield Contradiction(
            role,
            "still_mptcp" if state.still_mptcp else FALLBACKS[-2],
            f"the {role} says that it became regular TCP",
            "its socket says MPTCP" if state.still_mptcp else "no counter says so",
            tuple(plain),
        )


def _socket(account: Account, connection: Connection, state: StackState) -> Iterator[Contradiction]:
    """Give what a socket that speaks MPTCP says of itself, and packets contradict.

    It was asked before the last packets: all that they show can be no less than what it said. What it had
    mapped by then is all but the end of its data.
    """
    own, peer = connection.own, connection.peer
    rows: list[tuple[str, Comparison, int, int, str]] = []
    if connection.token is not None:
        rows.append(("token", EXACTLY, 0, connection.token, "the token of the key that it sent"))
    if connection.checksum is not None:
        used = int(connection.checksum)
        rows += [(name, EXACTLY, 0, used, "flag A of the SYNs") for name in ("csum_enabled", "checksum")]
    if own.base is not None and own.known:
        rows += [
            ("write_seq", AT_LEAST, own.base, own.top - 1, "what it mapped"),
            ("snd_una", AT_MOST, own.base, max(own.acked or 1, 1), "the Data ACKs that reached it"),
            ("bytes_sent", AT_LEAST, 0, own.top - 1 - (own.fin is not None), "what it mapped"),
        ]
    if peer.base is not None and peer.known:
        words = "what reached it in order with right checksums"
        rows.append(("rcv_nxt", AT_MOST, peer.base, peer.arrived.front, words))
    for name, comparison, base, bound, words in rows:
        said = state.info.get(name)
        # A connection that was aborted has no token any more.
        if not isinstance(said, int) or (name == "token" and not said):
            continue
        offset = unwrap64(said - base, bound)
        if not comparison.holds(offset, bound):
            shown = wire.wrong_checksums(account) if name == "rcv_nxt" else None
            yield Contradiction(
                account.role,
                name,
                f"{name} of the {account.role} is {comparison.value} {bound}: {words}",
                f"it is {offset}",
                tuple((shown or ())[:SHOWN]),
            )
