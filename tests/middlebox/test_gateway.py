"""The gateway by itself; streams through it, in all kinds of trouble, are in the tests of its boxes."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.middlebox import Aim, ContentGateway, Direction, Edit, MovedHalf, StreamGateway
from mbtest.wire import ACK, FIN, PSH, SYN, URG, Sack, Segment, Seq32, Timestamps
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, talk

ISN = 2**32 - 3


class Bench:
    """A gateway with one flow open, and what it sent of its own accord."""

    def __init__(self, *edits: Edit, mtu: int = 1500) -> None:
        self.sent: list[tuple[Segment, Direction, str]] = []
        self.gateway = StreamGateway(mtu, lambda *sent: self.sent.append(sent))
        self.edits = list(edits)
        self.up(-1, flags=SYN)
        self.down(flags=SYN | ACK, ack=0)

    def change(self, moved: MovedHalf, start: int, data: bytes) -> bytes:
        while self.edits and self.edits[0].at < start + len(data):
            edit = self.edits.pop(0)
            assert edit.at >= moved.settled
            moved.edits.add(edit)
        return data.replace(b"?", b"!")

    def up(self, offset: int, payload: bytes = b"", flags: int = ACK, urgent: int = 0) -> list[Segment]:
        one = segment(ISN + 1 + offset, payload, flags, ack=501, urgent=urgent)
        return list(self.gateway.carry(one, TO_SERVER, self.change))

    def down(self, payload: bytes = b"", flags: int = ACK, *, ack: int, seq: int = 501) -> Segment:
        """Have the server acknowledge up to the offset `ack` of what it sees."""
        options = [Timestamps(1, 2), Sack(((ISN + 20, ISN + 24),))]
        one = segment(seq - bool(flags & SYN), payload, flags, ISN + 1 + ack, options, TO_CLIENT)
        (out,) = self.gateway.carry(one, TO_CLIENT)
        return out


def offset(number: int) -> int:
    return Seq32(number) - Seq32(ISN + 1)


def test_without_edits_every_segment_is_the_very_one() -> None:
    one = segment(5, b"data")
    gateway = StreamGateway(1500, lambda *_: None)
    assert gateway.carry(one, TO_SERVER)[0] is one
    assert gateway.carry(one, TO_SERVER, lambda moved, start, data: data)[0] is one


def test_numbers_are_carried_on_in_both_directions() -> None:
    bench = Bench(Edit(4, 0, b"wxyz"))
    (first,) = bench.up(0, b"abcdefgh")
    assert (first.payload, offset(first.seq)) == (b"abcdwxyzefgh", 0)
    (second,) = bench.up(8, b"ijkl")
    assert (second.payload, offset(second.seq)) == (b"ijkl", 12)
    answer = bench.down(ack=16)
    assert offset(answer.ack) == 12
    assert answer.option(Sack) == Sack(((Seq32(ISN + 16), Seq32(ISN + 20)),))


def test_a_change_of_the_same_length_moves_nothing() -> None:
    (out,) = Bench().up(0, b"what?")
    assert (out.payload, offset(out.seq)) == (b"what!", 0)
    assert out.checksum_is_right()


def test_a_segment_that_grows_above_the_mtu_is_cut() -> None:
    pieces = Bench(Edit(0, 0, b"x" * 100), mtu=140).up(0, b"y" * 80, ACK | PSH | FIN)
    assert [len(piece) for piece in pieces] == [140, 120]
    assert b"".join(piece.payload for piece in pieces) == b"x" * 100 + b"y" * 80
    assert [piece.flags for piece in pieces] == [ACK, ACK | PSH | FIN]


def test_a_segment_that_was_above_the_mtu_and_does_not_grow_is_left_whole() -> None:
    (out,) = Bench(Edit(0, 1), mtu=140).up(0, b"y" * 500)
    assert out.payload == b"y" * 499


def test_the_urgent_pointer_moves_with_its_octet() -> None:
    (out,) = Bench(Edit(4, 0, b"wxyz")).up(0, b"abcdefgh", ACK | URG, urgent=6)
    assert out.payload[: out.urgent].endswith(b"f")


def test_removed_data_is_acknowledged_by_the_gateway_once_all_before_it_is() -> None:
    bench = Bench(Edit(4, 8))
    bench.up(0, b"abcd")
    (bare,) = bench.up(4, b"efghijkl")
    assert bare.payload == b""
    assert bench.sent == []
    assert offset(bench.down(ack=4).ack) == 12
    bench.up(4, b"efghijkl")
    ((answer, way, why),) = bench.sent
    assert way is TO_CLIENT
    assert why
    assert offset(answer.ack) == 12
    assert (answer.seq, answer.flags, answer.payload) == (501, ACK, b"")
    assert answer.option(Sack) is None
    assert answer.option(Timestamps) == Timestamps(1, 2)
    assert answer.checksum_is_right()


def test_an_old_acknowledgment_does_not_hide_a_newer_one() -> None:
    bench = Bench(Edit(4, 4))
    bench.up(0, b"abcd")
    bench.down(ack=4)
    bench.down(ack=2)
    bench.up(4, b"efgh")
    ((answer, _, _),) = bench.sent
    assert offset(answer.ack) == 8


def test_a_wrong_checksum_stays_wrong_and_teaches_nothing() -> None:
    bench = Bench(Edit(0, 4))
    broken = segment(ISN + 1, b"abcd?").replace(checksum=0x1234)
    assert bench.gateway.carry(broken, TO_SERVER, bench.change) == (broken,)
    assert bench.up(0, b"abcd?")[0].payload == b"!"


def test_a_fin_ends_an_edit_that_reaches_beyond_it() -> None:
    bench = Bench(Edit(2, 100))
    (out,) = bench.up(0, b"abcd", ACK | FIN)
    assert (out.payload, out.fin) == (b"ab", True)
    assert offset(bench.down(ack=3).ack) == 5


def test_flows_that_use_the_same_ports_again_begin_unedited() -> None:
    bench = Bench(Edit(0, 2))
    bench.up(0, b"abcd")
    bench.gateway.carry(segment(ISN + 5000, flags=SYN), TO_SERVER)
    again = segment(ISN + 5001, b"abcd")
    assert bench.gateway.carry(again, TO_SERVER) == (again,)


class Doubling(ContentGateway):
    """Doubles every seventh octet of the stream, and replaces each that is a zero."""

    def edits(self, start: int, data: bytes) -> Iterator[Edit]:
        for at, octet in enumerate(data, start):
            if at % 7 == 3:
                yield Edit(at, 1, bytes((octet, octet)))
            elif octet == 0:
                yield Edit(at, 1, b"")


def test_what_a_box_finds_in_the_data_is_edited_for_good() -> None:
    for seed in range(20):
        for connection in talk(Doubling(), seed=seed):
            for host, way in ((connection.client, TO_SERVER), (connection.server, TO_CLIENT)):
                assert host.peer.received == Doubling().delivers(host.stream, way)


def test_an_edit_is_made_once_however_often_its_octets_pass() -> None:
    line = Line(Doubling(aim=Aim(until_nth=3)))
    line.put(segment(ISN, flags=SYN))
    sent = [(0, b"abcdef"), (2, b"cde"), (0, b"abcdefghijk"), (6, b"ghijk")]
    seen = [b"".join(one.payload for one in line.put(segment(ISN + 1 + at, data))) for at, data in sent]
    # The aim ends before octet 10 is reached.
    assert seen == [b"abcddef", b"cdde", b"abcddefghijk", b"ghijk"]


def test_an_aim_spares_a_direction() -> None:
    box = Doubling(aim=Aim(direction=TO_SERVER))
    assert box.delivers(b"abcde", TO_SERVER) == b"abcdde"
    assert box.delivers(b"abcde", TO_CLIENT) == b"abcde"
