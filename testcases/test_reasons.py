"""Resets that say why (RFC 8684 §3.6): what brings the reasons about that no other case does.

Reasons 1 (MPTCP-specific error) and 6 (middlebox interference) are asked for in `join.*` and `lost.*`. No
case brings 4 (too much outstanding data) about: a host may give it, and Linux does not.
"""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    MILLISECOND,
    SERVER,
    SHOULD,
    Aim,
    Counted,
    Direction,
    Interfered,
    Kind,
    NoSubflowOn,
    Outcome,
    ResetsWith,
    RunFixture,
    Sends,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import AddAddr, MpJoinSyn, MpTcprst, Segment
from mbtest.wire.mptcp import RESET_REASONS
from middleboxes.delay import DelaySegments
from middleboxes.drop import DropSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.forge_end import ForgeEnd
from middleboxes.limit_rate import LimitRate
from middleboxes.strip import StripOptions

BOTH_HOMED = "dual-homed-both"


def announces(segment: Segment) -> bool:
    """Whether a segment has an ADD_ADDR that is no echo."""
    option = segment.option(AddAddr)
    return option is not None and not option.echo


def note_reasons(session: Trial, role: str) -> None:
    """Say with which reasons a host reset subflows."""
    said = {option.reason for _, option in session.session.observation.hosts[role].sent(MpTcprst)}
    words = [f"{reason}, {RESET_REASONS.get(reason, 'unknown')}" for reason in sorted(said)]
    session.note(
        f"the {role} resets with reason {' and '.join(words)}" if words else f"the {role} gives none"
    )


@case(
    "reason.prohibited",
    requires=("RFC8684-3.2/refused-join-reset", "RFC8684-3.2/refused-join-reason"),
    topology=BOTH_HOMED,
    waits=2,
)
def test_a_host_has_all_the_subflows_that_it_allows(run: RunFixture) -> None:
    """The client is told that its joined subflow is gone, the server is not: another join is refused.

    One further subflow is allowed on either side. The server's announcement of its second address is lost
    once, so that it comes when the client has room again.
    """
    answer = Aim(path="c2-s1", kinds=Kind.PURE_ACK, direction=Direction.TO_CLIENT)
    boxes = [
        LimitRate(1_000_000),
        ForgeEnd(to="client", later="drop", aim=answer),
        DropSegments(aim=Aim(where=announces, nth=1)),
    ]
    workload = Workload(shape="rounds", rounds=120, client_sends=120 * KIB, server_sends=120 * KIB)
    session = run(boxes, workload=workload, subflows=1)

    session.require(Interfered(ForgeEnd))
    session.require(Sends(CLIENT, MpJoinSyn, at_least=2))
    session.expect(NoSubflowOn("c1-s2"))
    session.expect(Unharmed())
    session.expect(ResetsWith(SERVER, 3), level=SHOULD)
    session.expect(Counted(SERVER, "MPTcpExtMPJoinRejected"), level=MAY)


@case("reason.resources", requires="RFC8684-3.6/reset-with-reason", level=MAY, topology=BOTH_HOMED, waits=1)
def test_a_host_has_room_for_one_handshake(run: RunFixture) -> None:
    """A join waits half open when another comes: taken where there is room, refused for want of it else."""
    late = DelaySegments(300 * MILLISECOND, aim=Aim(path="c2-s1", kinds=Kind.THIRD_ACK))
    session = run(late, sends=64 * KIB, endpoint={"server": {"half_open_limit": 1}})

    session.require(Interfered(DelaySegments))
    session.expect(Unharmed())
    session.expect(ResetsWith(SERVER, 2))
    note_reasons(session, SERVER)


@case(
    "reason.performance",
    requires=("RFC8684-3.3.6/performance-reset-reason", "RFC8684-3.3.6/given-up-early"),
    directions=BOTH_WAYS,
    level=MAY,
    topology="slow-first-path",
    waits=6,
)
def test_a_subflow_is_given_up(run: RunFixture) -> None:
    """The faster of two paths falls silent for good, and few timeouts are allowed: the sender gives it up."""
    silence = Aim(path=1, from_byte=16 * KIB)
    session = run(
        [LimitRate(1_000_000, queue=32_000), DropSegments(aim=silence)],
        sends=512 * KIB,
        patience=12,
        sysctls={"net.ipv4.tcp_retries2": "3"},
        endpoint={"client": {"retries": 3}, "server": {"retries": 3}},
    )

    session.require(Interfered(DropSegments))
    session.expect(Unharmed())
    session.expect(ResetsWith(run.sender, 5))
    note_reasons(session, run.sender)


@case(
    "reason.{}",
    each={
        "stripped": StripOptions(MpTcprst),
        "flags-set": FlipBits("flags", 0xE, MpTcprst),
        "altered": FlipBits("reason", 0xF0, MpTcprst),
    },
    requires=("RFC8684-3.5/rst-ends-subflow-only", "RFC8684-3.6/reason-flags-ignored"),
    topology="dual-homed-client",
    waits=1,
)
def test_a_reason_is_disturbed(run: RunFixture) -> None:
    """The MP_TCPRST of a RST that refuses a join is {}: the RST acts as it is, on its subflow alone."""
    third_ack = Aim(path=1, kinds=Kind.THIRD_ACK)
    session = run([run.value, FlipBits("hmac", aim=third_ack)], sends=256 * KIB)

    session.require(Interfered(type(run.value), at_least=1 + isinstance(run.value, FlipBits)))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())
