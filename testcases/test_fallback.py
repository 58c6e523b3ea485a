"""Fallback while data is under way or waiting: what an application wrote must arrive, once."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    Aim,
    Interfered,
    Kind,
    Outcome,
    Role,
    RunFixture,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import MpCapable
from middleboxes.strip import StripOptions

WHOLE = "RFC8684-3.7/fallback-keeps-data"


def fell_back_whole(session: Trial, who: Role | None = None) -> None:
    """Regular TCP, and every octet in its place. who: the host that it depends on."""
    session.require(Interfered(StripOptions))
    session.expect(Unharmed(), who=who)
    session.expect(Outcome.FELL_BACK, who=who)


@case("fallback.more-than-a-window-waits", requires=WHOLE, directions=BOTH_WAYS)
def test_fallback_while_more_than_a_window_waits(run: RunFixture) -> None:
    """The sender ended its stream with more written than the peer's window holds: all of it arrives."""
    box = StripOptions(aim=Aim(where=lambda segment: not segment.syn))
    fell_back_whole(run(box, sends=70_000))


@case("fallback.much-more-than-a-window-waits", requires=WHOLE, directions=BOTH_WAYS)
def test_fallback_of_a_long_transfer(run: RunFixture) -> None:
    """Regular TCP from the first data on, with far more to send than fits any buffer: all of it arrives."""
    box = StripOptions(aim=Aim(where=lambda segment: not segment.syn))
    fell_back_whole(run(box, sends=512 * KIB))


@case("fallback.peer-ended-first", requires=WHOLE, directions=BOTH_WAYS, waits=3)
def test_fallback_where_the_receiver_ended_its_direction_first(run: RunFixture) -> None:
    """The receiver ended its own direction at once, the first data then loses its options: it all arrives."""
    box = StripOptions(aim=Aim(kinds=Kind.FIRST_DATA, direction=run.direction))
    to_server = run.sender == "client"
    workload = Workload(
        client_sends=48 * KIB if to_server else 0, server_sends=0 if to_server else 48 * KIB, ends_early=True
    )
    # The receiver may become regular TCP without a word: no Data ACK came, by which the sender knows.
    fell_back_whole(run(box, workload=workload), run.sender)


@case("fallback.both-send", requires=WHOLE, checksums=(False, True))
def test_fallback_while_both_send(run: RunFixture) -> None:
    """Both hosts send when the third ACK loses MP_CAPABLE: both streams arrive whole over regular TCP."""
    box = StripOptions(MpCapable, aim=Aim(kinds=Kind.THIRD_ACK))
    fell_back_whole(run(box, client_sends=48 * KIB, server_sends=48 * KIB))


@case("fallback.requests", requires=WHOLE)
def test_fallback_with_requests_and_answers(run: RunFixture) -> None:
    """Requests and answers alternate when all options are lost after the handshake: each one arrives."""
    box = StripOptions(aim=Aim(where=lambda segment: not segment.syn))
    workload = Workload(shape="rounds", rounds=20, client_sends=20 * 200, server_sends=20 * 4 * KIB)
    fell_back_whole(run(box, workload=workload))
