from __future__ import annotations

from mbtest.middlebox import Aim, Kind
from mbtest.wire import ACK, SYN, Packet
from middleboxes.drop import DropSegments
from tests.middlebox.bench import TO_CLIENT, Line, segment, talk


def test_what_the_aim_hits_is_dropped_and_the_rest_passes() -> None:
    line = Line(DropSegments(aim=Aim(kinds=Kind.THIRD_ACK)))
    story = [segment(9, flags=SYN), segment(10, ack=5), segment(10, b"data", ack=5)]
    assert [line.put(one) for one in story] == [story[:1], [], story[2:]]
    assert line.chain.comment(story[1]) == "DropSegments dropped it"


def test_without_an_aim_every_segment_is_dropped_and_nothing_else() -> None:
    line = Line(DropSegments())
    udp = Packet(bytes.fromhex("4500001c0000000040110000c0000201c0000202") + bytes(8))
    line.put(segment())
    line.put(segment(flags=SYN | ACK, direction=TO_CLIENT), TO_CLIENT)
    line.put(udp)
    assert [packet for packet, _ in line.out] == [udp]


def test_a_stream_survives_the_loss_of_its_first_data() -> None:
    for connection in talk(DropSegments(aim=Aim(kinds=Kind.FIRST_DATA, until_nth=3)), seed=5):
        assert connection.server.received == connection.client.stream
