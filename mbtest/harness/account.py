"""What the packets of one host show, to be held against what its stack counts: see `witness`.

Each function returns the packets that a counter should have counted, or None where packets cannot tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar, cast

from mbtest.observe import FlowView, Observation, Seen
from mbtest.observe.handshakes import proof
from mbtest.observe.signals import KEPT_FAILURES
from mbtest.observe.state import Connection, Manner, Mode, Subflow
from mbtest.results import Evidence
from mbtest.wire import (
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MptcpOption,
    MpTcprst,
    RemoveAddr,
    Segment,
    Timestamps,
)
from mbtest.wire.describe import one_line, option_words

Option = TypeVar("Option", bound=MptcpOption)
Found = Sequence[Evidence] | None


class Carried(NamedTuple, Generic[Option]):
    """An option on a segment."""

    frame: int
    flow: FlowView
    segment: Segment
    option: Option

    @property
    def opens(self) -> bool:
        """Whether it is on a SYN without ACK."""
        return self.segment.syn and not self.segment.has_ack

    @property
    def answers(self) -> bool:
        """Whether it is on a SYN/ACK."""
        return self.segment.syn and self.segment.has_ack


class Account:
    """What one host sent, and what reached it."""

    def __init__(self, observation: Observation, role: str, has_fallen_back: bool = False) -> None:
        """Look through the packets of a host once. has_fallen_back: whether its stack says so."""
        self.role = role
        self.has_fallen_back = has_fallen_back
        self.connection: Connection | None = observation.connection(role)
        self.speaks_to_the_end = observation.spoke_to_the_end(role)
        self.flows = observation.hosts[role].flows
        host = observation.trace.hosts.get(role)
        self.subflows = host.subflows if host is not None else {}
        self.tokens = host.tokens if host is not None else {}
        self.was_reset = any(subflow.peer.rst for subflow in self.subflows.values())
        self._carried: dict[tuple[bool, type[MptcpOption]], list[Carried[MptcpOption]]] = defaultdict(list)
        for flow in self.flows.values():
            for is_sent, half in ((True, flow.sent), (False, flow.received)):
                for frame, _, segment, _ in half.segments:
                    for option in segment.options:
                        # The usual DSS is most of what there is, and nothing is asked about it.
                        if isinstance(option, MptcpOption) and (
                            not isinstance(option, Dss) or option.infinite
                        ):
                            one = Carried(frame, flow, segment, option)
                            self._carried[is_sent, type(option)].append(one)

    def sent(self, form: type[Option]) -> list[Carried[Option]]:
        """Return each option of a form that the host sent; of DSS the infinite mappings."""
        return cast(list[Carried[Option]], self._carried[True, form])

    def received(self, form: type[Option]) -> list[Carried[Option]]:
        """Return each option of a form that reached the host; of DSS the infinite mappings."""
        return cast(list[Carried[Option]], self._carried[False, form])

    def subflow(self, flow: FlowView) -> Subflow | None:
        """Return what a flow came to."""
        return self.subflows.get((flow.local, flow.remote))

    def had(self, flow: FlowView) -> Subflow | None:
        """Return a flow as a subflow of MPTCP that the host had a socket for; None for a mere request."""
        subflow = self.subflow(flow)
        if subflow is None or subflow.connection.mode is not Mode.MPTCP:
            return None
        has = flow.opened_here or subflow.proved or (subflow.kind == "initial" and subflow.peer.segments > 0)
        return subflow if has else None

    def last_word(self) -> Evidence | None:
        """Return the last segment that the host sent, resets apart, if it has a DSS."""
        segments = [one for flow in self.flows.values() for one in flow.sent.segments if not one.segment.rst]
        last = max(segments, key=lambda one: one.frame, default=None)
        option = last.segment.option(Dss) if last is not None else None
        return Evidence(last.frame, option_words(option)) if last and option else None


def every(carried: Sequence[Carried[Option]]) -> list[Evidence]:
    """Return options as evidence."""
    return [Evidence(one.frame, option_words(one.option)) for one in carried]


def each_flow(carried: Sequence[Carried[Option]]) -> list[Evidence]:
    """Return the first option of each flow."""
    first = {id(one.flow): one for one in reversed(carried)}
    return sorted(every(list(first.values())), key=lambda one: one.frame)


def sent(form: type[MptcpOption]) -> Callable[[Account], Found]:
    """Return what gives each option of a form that the host sent."""
    return lambda account: every(account.sent(form))


def received(form: type[MptcpOption]) -> Callable[[Account], Found]:
    """Return what gives each option of a form that reached the host."""
    return lambda account: every(account.received(form))


# -- Handshakes ----------------------------------------------------------------------------------------------


def capable_opened(account: Account) -> Found:
    """Return the first SYN with MP_CAPABLE of each connection that the host opened."""
    return each_flow([one for one in account.sent(MpCapable) if one.opens])


def capable_asked(account: Account) -> Found:
    """Return the SYNs with MP_CAPABLE that reached the host."""
    return every([one for one in account.received(MpCapable) if one.opens])


def capable_granted(account: Account) -> Found:
    """Return the connections that the host granted MP_CAPABLE."""
    return each_flow([one for one in account.sent(MpCapable) if one.answers])


def capable_accepted(account: Account) -> Found:
    """Return the SYN/ACKs with MP_CAPABLE that reached the host."""
    return every([one for one in account.received(MpCapable) if one.answers])


def capable_confirmed(account: Account) -> Found:
    """Return the connections on which the host sent both keys."""
    return each_flow([one for one in account.sent(MpCapable) if not one.segment.syn])


def capable_refused(account: Account) -> Found:
    """Return the SYN/ACKs to SYNs with MP_CAPABLE after which the host went on without.

    Such as have no MP_CAPABLE, or one that it cannot take.
    """
    found = []
    for flow in account.flows.values():
        answer, sent = flow.received.syn, [one.segment for one in flow.sent.segments]
        later = [segment for segment in sent if not segment.syn and not segment.rst]
        # A SYN that was repeated without MP_CAPABLE had given MPTCP up before.
        asked = all(one.segment.option(MpCapable) for one in _own_syns(flow))
        if answer is None or not answer.segment.has_ack or not asked or not later:
            continue
        if not any(segment.option(MpCapable) for segment in later):
            found.append(Evidence(answer.frame, one_line(answer.segment)))
    return found


def capable_given_up(account: Account) -> Found:
    """Return the first SYN without MP_CAPABLE of each connection that had asked for it before."""
    found = []
    for flow in account.flows.values():
        syns = _own_syns(flow)
        if syns and syns[0].segment.option(MpCapable):
            plain = (one for one in syns if not one.segment.option(MpCapable))
            found += [Evidence(one.frame, one_line(one.segment)) for one in plain][:1]
    return found


def _own_syns(flow: FlowView) -> list[Seen]:
    """Return the SYNs that asked for a connection; what answers one is not among them."""
    return [one for one in flow.sent.segments if one.segment.syn and not one.segment.has_ack]


def join_opened(account: Account) -> Found:
    """Return the subflows that the host asked to join by."""
    return each_flow(account.sent(MpJoinSyn))


def join_asked_as_backup(account: Account) -> Found:
    """Return the SYNs with MP_JOIN and flag B that reached the host."""
    return every([one for one in account.received(MpJoinSyn) if one.option.backup])


def join_granted(account: Account) -> Found:
    """Return the subflows that the host answered with MP_JOIN."""
    return each_flow(account.sent(MpJoinSynAck))


def join_unknown(account: Account) -> Found:
    """Return the SYNs with MP_JOIN whose token is that of no connection of the host."""
    return every([one for one in account.received(MpJoinSyn) if one.option.token not in account.tokens])


def join_confirmed(account: Account) -> Found:
    """Return the subflows on which the host proved itself in the third ACK."""
    return each_flow([one for one in account.sent(MpJoinAck) if not (one.segment.syn or one.segment.rst)])


def join_kept(account: Account) -> Found:
    """Return the third ACKs with a right HMAC on subflows that the host did not reset."""
    return each_flow(
        [
            one
            for one in account.received(MpJoinAck)
            if (subflow := account.subflow(one.flow)) and subflow.proved and subflow.own.rst is None
        ]
    )


def join_wrong_answers(account: Account) -> Found:
    """Return the SYN/ACKs with MP_JOIN whose HMAC is wrong, one of each subflow."""
    answers = account.received(MpJoinSynAck)
    return each_flow([one for one in answers if _is_wrong(account, one, one.option.hmac.to_bytes(8, "big"))])


def join_wrong_proofs(account: Account) -> Found:
    """Return the third ACKs with MP_JOIN whose HMAC is wrong, one of each subflow that none proved."""
    return each_flow([one for one in account.received(MpJoinAck) if _is_wrong(account, one, one.option.hmac)])


def _is_wrong(account: Account, one: Carried[Option], hmac: bytes) -> bool:
    subflow = account.subflow(one.flow)
    if subflow is None or subflow.kind != "join" or subflow.proved:
        return False
    right = proof(subflow.connection, subflow, len(hmac), own=False)
    return right is not None and right != hmac


# -- Addresses -----------------------------------------------------------------------------------------------


def announced(*, is_sent: bool, echo: bool = False) -> Callable[[Account], Found]:
    """Return what gives the ADD_ADDRs, or echoes of them, that the host sent or that reached it."""

    def found(account: Account) -> Found:
        carried = account.sent(AddAddr) if is_sent else account.received(AddAddr)
        return every([one for one in carried if one.option.echo is echo])

    return found


def announced_with_port(account: Account) -> Found:
    """Return the ADD_ADDRs with a port that reached the host."""
    return every([one for one in account.received(AddAddr) if one.option.port is not None])


def removed(*, is_sent: bool) -> Callable[[Account], Found]:
    """Return what gives the REMOVE_ADDRs that the host sent or that reached it, once for each address ID."""

    def found(account: Account) -> Found:
        carried = account.sent(RemoveAddr) if is_sent else account.received(RemoveAddr)
        return every([one for one in carried for _ in one.option.address_ids])

    return found


# -- Failures and fallback -----------------------------------------------------------------------------------


def wrong_checksums(account: Account) -> Found:
    """Return the mappings that reached the host with a wrong checksum; None where not all are known."""
    failures = account.connection.failures if account.connection is not None else []
    if len(failures) >= KEPT_FAILURES:
        return None
    if account.connection is not None and account.connection.misplaced is not None:
        # Of octets that are gone here the host may have summed others.
        return None
    return [Evidence(one.frame, f"the checksum of octets {one.data} on is wrong") for one in failures]


def first_wrong_checksums(account: Account) -> Found:
    """Return the first such mapping of each subflow, where no hole is before its end.

    None where the stack fell back: nothing is checked after that.
    """
    if account.has_fallen_back:
        return None
    broken = [
        (subflow.peer.mapped.broken_at, subflow.peer.mapped.taken.front)
        for subflow in account.subflows.values()
    ]
    return [
        Evidence(mapping.frame, f"the checksum of octets {mapping.data} on is wrong")
        for mapping, front in broken
        if mapping is not None and mapping.end <= front
    ]


def failures_heard(account: Account) -> Found:
    """Return the first MP_FAIL that reached each subflow before anything that was sent after it.

    None where the stack fell back: TCP has no ears.
    """
    if account.has_fallen_back:
        return None
    return each_flow([one for one in account.received(MpFail) if _is_heard(account, one)])


def _is_heard(account: Account, one: Carried[Option]) -> bool:
    """Whether TCP has no reason to drop a segment: no newer one came before it, and a RST is acceptable."""
    if one.segment.rst:
        return _is_live(account.had(one.flow), one)
    before = (seen.segment for seen in one.flow.received.segments if seen.frame < one.frame)
    return not any(_is_newer(segment, one.segment) for segment in before)


def _is_newer(segment: Segment, than: Segment) -> bool:
    """Whether a segment was sent after another, as its numbers and timestamps tell (RFC 7323 §5)."""
    pairs = [(int(segment.seq), int(than.seq)), (int(segment.ack), int(than.ack))]
    clocks = segment.option(Timestamps), than.option(Timestamps)
    if clocks[0] is not None and clocks[1] is not None:
        pairs.append((clocks[0].value, clocks[1].value))
    return any(0 < (one - other) & 0xFFFF_FFFF < 0x8000_0000 for one, other in pairs)


def infinite_sent(account: Account) -> Found:
    """Return the first infinite mapping on each subflow that the host sent one on."""
    return each_flow(account.sent(Dss))


def infinite_in_order(account: Account) -> Found:
    """Return the infinite mapping, with data, that made the host regular TCP.

    Behind a hole it is not yet looked at. None where something else made it regular TCP.
    """
    connection = account.connection
    if connection is None or connection.fallback is None:
        return []
    if connection.fallback.manner is not Manner.INFINITE_RECEIVED or account.has_fallen_back:
        return None
    for one in account.received(Dss):
        half = subflow.peer if (subflow := account.subflow(one.flow)) is not None else None
        if half is None or half.isn is None or not one.segment.payload_length:
            continue
        start = (int(one.segment.seq) - half.isn) & 0xFFFF_FFFF
        if start < half.mapped.taken.front & 0xFFFF_FFFF:
            return every([one])
    return []


def went_on_as_tcp(account: Account) -> Found:
    """Return the first data that the host sent without a mapping, having agreed to MPTCP."""
    connection = account.connection
    if connection is None or connection.mode is not Mode.MPTCP or connection.fallback is None:
        return []
    fallback = connection.fallback
    return [Evidence(fallback.frame, fallback.manner.value)] if fallback.manner is Manner.SILENT else []


# -- Resets --------------------------------------------------------------------------------------------------


def was_reset_with_reason(account: Account) -> Found:
    """Return the subflows that the host had and its peer reset with a reason, nothing having ended them.

    None where the host fell back: TCP knows of no reasons.
    """
    if account.has_fallen_back or (account.connection is not None and account.connection.fallback):
        return None
    return every([one for one in account.received(MpTcprst) if _is_live(account.had(one.flow), one)])


def _is_live(subflow: Subflow | None, one: Carried[Option]) -> bool:
    """Whether a subflow lived until this RST of its peer's, and ended by it.

    RFC 5961 §3.2: only a RST with the very next sequence number ends a connection at once.
    """
    if subflow is None or subflow.peer.rst != one.frame:
        return False
    if subflow.peer.fin is not None or subflow.own.fin is not None:
        return False
    # A RST of the host's own may have been on its way, unless it could have no reason for one.
    opening = subflow.kind == "join" and subflow.opened_here and not (subflow.answered or subflow.bad_hmac)
    if subflow.own.rst is not None and (subflow.own.rst < one.frame or not opening):
        return False
    isn, front = subflow.peer.isn, subflow.peer.mapped.taken.front
    return isn is None or (int(one.segment.seq) - isn - front) & 0xFFFF_FFFF == 0
