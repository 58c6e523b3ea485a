from __future__ import annotations

import pytest

from mbtest.middlebox import SECOND, Aim, Direction, Kind, Subflow
from mbtest.middlebox.nearness import Nearness, waited_for
from mbtest.wire import ACK, FIN, RST, SYN, Segment
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, segment


def conversation() -> list[tuple[Segment, Direction]]:
    """A handshake, ten octets twice, an answer, the client's end."""
    return [
        (segment(seq=99, flags=SYN), TO_SERVER),
        (segment(seq=499, ack=100, flags=SYN | ACK, direction=TO_CLIENT), TO_CLIENT),
        (segment(seq=100, ack=500), TO_SERVER),
        (segment(seq=100, ack=500, payload=b"0123456789"), TO_SERVER),
        (segment(seq=100, ack=500, payload=b"0123456789"), TO_SERVER),
        (segment(seq=500, ack=110, direction=TO_CLIENT), TO_CLIENT),
        (segment(seq=110, ack=500, flags=ACK | FIN), TO_SERVER),
    ]


def fails(_: Segment) -> bool:
    return False


@pytest.mark.parametrize(
    ("aim", "says"),
    [
        (
            Aim(path=0, direction=TO_SERVER, kinds=Kind.SYN, nth=7),
            (
                "it waited for the 7th SYN to the server on path 0; "
                "of 14 packets 5 were on that path and that way, 1 was a SYN"
            ),
        ),
        (
            Aim(kinds=Kind.DATA, from_byte=10),
            (
                "it waited for data with octets from 10 on; "
                "of 14 packets 4 were data, none was with octets from 10 on"
            ),
        ),
        (
            Aim(kinds=Kind.DATA, from_byte=2, until_byte=5, retransmissions=True),
            (
                "it waited for data sent again with octets from 2 before 5; "
                "of 14 packets 4 were data, 4 were with octets from 2 before 5, 2 were sent again"
            ),
        ),
        (
            Aim(path="other", from_time=SECOND, until_time=2 * SECOND),
            (
                "it waited for a packet on path other from 1 s on and before 2 s; "
                "of 14 packets 7 were on that path, none was at that time"
            ),
        ),
        (
            Aim(kinds=Kind.RST, subflow=Subflow.JOINED, port=80, until_nth=3),
            (
                "it waited for an RST (before the 3rd) on a joined subflow of port 80; "
                "of 14 packets 14 were of port 80, none was on a joined subflow, none was an RST"
            ),
        ),
        (
            Aim(direction=TO_CLIENT, where=fails, from_nth=2),
            (
                "it waited for a packet (from the 2nd on) to the client that meets the condition fails; "
                "of 14 packets 4 were that way, none met the condition fails"
            ),
        ),
        (Aim(nth=21), "it waited for the 21st packet; of 14 packets all counted"),
    ],
)
def test_each_condition_has_its_number(aim: Aim, says: str) -> None:
    nearness = Nearness(aim)
    for number, path in enumerate(("first", "other")):
        for one, direction in conversation():
            nearness.add(one, path, number, direction, 0)
    assert nearness.words(0) == says


@pytest.mark.parametrize(
    ("aim", "says"),
    [
        (Aim(nth=1), "the 1st packet"),
        (Aim(nth=112), "the 112th packet"),
        (Aim(kinds=Kind.SYN | Kind.SYN_ACK), "a SYN or SYN/ACK"),
        (Aim(kinds=Kind.DATA | Kind.FIN), "data or FIN"),
        (Aim(kinds=Kind.FIRST_DATA, nth=2), "the 2nd first data"),
        (Aim(where=lambda one: bool(one.flags & RST)), "a packet that meets a condition of the case"),
    ],
)
def test_an_aim_is_told_in_words(aim: Aim, says: str) -> None:
    assert waited_for(aim) == says
