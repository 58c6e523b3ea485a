from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.wire import ACK, FIN, SYN, Dss, Seq32
from middleboxes.rewrite_payload import RewritePayload
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, talk

BASE = 2**32 - 3
"""The number of the first octet: streams wrap after three."""


class Changes:
    """What the box ought to make of a stream, octet by octet."""

    def __init__(self, at: tuple[int, ...], cut: int, put: bytes, every: int | None) -> None:
        self.at, self.removed, self.put, self.every = at, cut, put, every

    def octet(self, offset: int, octet: bytes) -> bytes:
        last = self.at[-1]
        places = [*self.at]
        if self.every and offset >= last:
            places.append(last + (offset - last) // self.every * self.every)
        for place in places:
            number = offset - place
            if number == 0 and self.removed == 0:
                return self.put + octet
            if 0 <= number < self.removed:
                return self.put[number:] if number == self.removed - 1 else self.put[number : number + 1]
        return octet

    def stream(self, stream: bytes) -> bytes:
        return b"".join(self.octet(at, stream[at : at + 1]) for at in range(len(stream)))

    def moved(self, offset: int) -> int:
        return sum(len(self.octet(at, b"x")) for at in range(offset))


@st.composite
def changes(draw: st.DrawFn) -> Changes:
    cut = draw(st.sampled_from((0, 1, 4, 60)))
    put = draw(st.binary(min_size=cut == 0, max_size=draw(st.sampled_from((1, 4, 60)))))
    span = max(cut, 1)
    at = [draw(st.integers(0, 300))]
    for _ in range(draw(st.integers(0, 3))):
        at.append(at[-1] + span + draw(st.integers(0, 300)))
    every = draw(st.one_of(st.none(), st.integers(max(span, 20), 400)))
    return Changes(tuple(at), cut, put, every)


@given(changes(), st.integers(0, 2**32), st.sampled_from((0.0, 0.2, 0.4)))
@settings(deadline=None)
def test_receivers_read_the_changed_stream_whatever_happens_on_the_way(
    change: Changes, seed: int, trouble: float
) -> None:
    box = RewritePayload(change.at, change.put, change.removed, every=change.every)
    for connection in talk(box, seed=seed, trouble=trouble, moved=change.moved):
        assert connection.server.received == change.stream(connection.client.stream)
        assert connection.client.received == change.stream(connection.server.stream)
        assert box.delivers(connection.client.stream, TO_SERVER) == connection.server.received


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.binary(min_size=1, max_size=40))
@settings(deadline=None)
def test_flipped_octets_are_the_same_for_every_copy_and_cut(seed: int, trouble: float, mask: bytes) -> None:
    box = RewritePayload(50, xor=mask, every=300)
    for connection in talk(box, seed=seed, trouble=trouble):
        assert box.delivers(connection.client.stream, TO_SERVER) == connection.server.received
        for received, sent in (
            (connection.server.received, connection.client.stream),
            (connection.client.received, connection.server.stream),
        ):
            flipped = bytearray(sent)
            for place in range(50, len(sent), 300):
                for number, bits in enumerate(mask[: len(sent) - place]):
                    flipped[place + number] ^= bits
            assert received == flipped


def open_line(box: RewritePayload) -> Line:
    line = Line(box)
    line.put(segment(BASE - 1, flags=SYN))
    line.put(segment(99, flags=SYN | ACK, ack=BASE, direction=TO_CLIENT), TO_CLIENT)
    return line


def up(line: Line, at: int, payload: bytes, flags: int = ACK) -> list[tuple[int, bytes]]:
    """Send data; return what leaves, each as its offset and its data."""
    out = line.put(segment(BASE + at, payload, flags, ack=100, options=[Dss(1, 2, 3, 4)]))
    for one in out:
        assert one.checksum_is_right()
        assert one.option(Dss) == Dss(1, 2, 3, 4)
    return [(one.seq - Seq32(BASE), one.payload) for one in out]


def acknowledged(line: Line, at: int) -> int:
    (back,) = line.put(segment(100, ack=BASE + at, direction=TO_CLIENT), TO_CLIENT)
    return back.ack - Seq32(BASE)


def test_one_octet_is_flipped_by_default() -> None:
    line = open_line(RewritePayload(5, aim=Aim(direction=TO_SERVER)))
    assert up(line, 0, b"abcdefgh") == [(0, b"abcde\x99gh")]
    assert up(line, 4, b"ef") == [(4, b"e\x99")]
    assert acknowledged(line, 8) == 8


@pytest.mark.parametrize(
    ("copies", "seen"),
    [
        ("every", [b"abcde\x99gh", b"e\x99", b"e\x99gh", b"ij"]),
        ("first", [b"abcde\x99gh", b"ef", b"efgh", b"ij"]),
        ("later", [b"abcdefgh", b"e\x99", b"e\x99gh", b"ij"]),
        ("resent", [None, b"e\x99", b"e\x99gh", b"ij"]),
    ],
)
def test_an_accident_meets_some_copies_alone(copies: Any, seen: list[bytes | None]) -> None:
    line = open_line(RewritePayload(5, copies=copies, aim=Aim(direction=TO_SERVER)))
    sent = [(0, b"abcdefgh"), (4, b"ef"), (4, b"efgh"), (8, b"ij")]
    assert [up(line, *one) for one in sent] == [
        [] if octets is None else [(at, octets)] for (at, _), octets in zip(sent, seen, strict=True)
    ]


def test_a_change_that_passes_in_part_is_new_where_it_is_new() -> None:
    line = open_line(RewritePayload(0, b"XXXX", copies="first"))
    assert up(line, 0, b"ab") == [(0, b"XX")]
    assert up(line, 0, b"abcd") == [(0, b"abXX")]
    line = open_line(RewritePayload(0, b"XXXX", copies="resent"))
    assert up(line, 0, b"ab") == []
    assert up(line, 0, b"abcd") == []
    assert up(line, 0, b"abcd") == [(0, b"XXXX")]


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)))
@settings(deadline=None)
def test_a_first_copy_lost_is_made_up_for_by_a_changed_one(seed: int, trouble: float) -> None:
    box = RewritePayload(50, every=300, copies="resent")
    for connection in talk(box, seed=seed, trouble=trouble):
        assert box.delivers(connection.client.stream, TO_SERVER) == connection.server.received


def test_a_receiver_keeps_what_it_has_when_later_copies_are_changed() -> None:
    box = RewritePayload(5, copies="later")
    assert box.delivers(b"abcdefgh", TO_SERVER) == b"abcdefgh"
    for copies in ("first", "resent"):
        assert RewritePayload(5, copies=copies).delivers(b"abcdefgh", TO_SERVER) == b"abcde\x99gh"


def test_octets_are_replaced_by_as_many() -> None:
    line = open_line(RewritePayload((1, 6), b"XY"))
    assert up(line, 0, b"abcdefgh") == [(0, b"aXYdefXY")]
    assert up(line, 2, b"cd") == [(2, b"Yd")]


def test_longer_and_shorter_data_carries_numbers_on() -> None:
    longer = open_line(RewritePayload(2, b"XXXX", cut=1))
    assert up(longer, 0, b"abcd") == [(0, b"abXXXXd")]
    assert up(longer, 4, b"ef") == [(7, b"ef")]
    assert acknowledged(longer, 9) == 6
    shorter = open_line(RewritePayload(1, cut=2))
    assert up(shorter, 0, b"abcd") == [(0, b"ad")]
    assert up(shorter, 4, b"ef") == [(2, b"ef")]
    assert acknowledged(shorter, 4) == 6


def test_a_segment_that_grows_above_the_mtu_is_cut_in_order() -> None:
    line = open_line(RewritePayload(0, b"x" * 700, cut=0, mtu=600))
    out = up(line, 0, b"y" * 300)
    assert b"".join(data for _, data in out) == b"x" * 700 + b"y" * 300
    assert [at for at, _ in out] == [0, 540]


def test_the_aim_decides_once_on_changes_of_length() -> None:
    later = open_line(RewritePayload(2, b"XX", cut=0, aim=Aim(kinds=Kind.LATER_DATA)))
    assert up(later, 0, b"abcd") == [(0, b"abcd")]
    assert up(later, 1, b"bcd") == [(1, b"bcd")]
    first = open_line(RewritePayload(2, b"XX", cut=0, aim=Aim(kinds=Kind.FIRST_DATA)))
    assert up(first, 0, b"abcd") == [(0, b"abXXcd")]
    assert up(first, 1, b"bcd") == [(1, b"bXXcd")]
    assert up(first, 4, b"ef") == [(6, b"ef")]


def test_changes_of_the_same_length_are_made_in_what_the_aim_hits() -> None:
    line = open_line(RewritePayload(0, b"X", aim=Aim(retransmissions=True)))
    assert up(line, 0, b"ab") == [(0, b"ab")]
    assert up(line, 0, b"ab") == [(0, b"Xb")]


def test_an_aim_at_one_direction_leaves_the_other_streams_octets() -> None:
    line = open_line(RewritePayload(0, b"XXX", cut=0, aim=Aim(direction=TO_CLIENT)))
    assert up(line, 0, b"ab") == [(0, b"ab")]
    (down,) = line.put(segment(100, b"cd", ack=BASE + 2, direction=TO_CLIENT), TO_CLIENT)
    assert down.payload == b"XXXcd"
    (back,) = line.put(segment(BASE + 2, ack=105))
    assert (back.seq, back.ack) == (Seq32(BASE + 2), 102)


def test_what_it_delivers_is_unchanged_in_the_direction_that_it_is_not_aimed_at() -> None:
    box = RewritePayload(1, b"XY", cut=1, aim=Aim(direction=TO_CLIENT))
    assert box.delivers(b"abcd", TO_SERVER) == b"abcd"
    assert box.delivers(b"abcd", TO_CLIENT) == b"aXYcd"


def test_data_that_is_removed_in_full_is_acknowledged_to_its_sender() -> None:
    line = open_line(RewritePayload(2, cut=2))
    up(line, 0, b"ab")
    assert acknowledged(line, 2) == 2
    assert up(line, 2, b"cd") == [(2, b"")]
    answer, way = line.out[-2]
    assert way is TO_CLIENT
    assert answer == segment(100, ack=BASE + 4, direction=TO_CLIENT)


def test_a_fin_stands_behind_the_changed_stream() -> None:
    line = open_line(RewritePayload(2, b"XXXX", cut=0))
    assert up(line, 0, b"abcd", ACK | FIN) == [(0, b"abXXXXcd")]
    assert acknowledged(line, 9) == 5


def test_a_segment_that_nothing_touches_is_the_very_one() -> None:
    line = open_line(RewritePayload(100))
    one = segment(BASE, b"abc", ack=100)
    assert line.put(one)[0] is one
    assert line.chain.deeds(RewritePayload) == 0


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"at": -1}, "at=-1 is out of range; give at least 0 octets"),
        ({"at": ()}, "at=(), every=None: "),
        ({"at": (5, 3)}, "at=(5, 3), every=None: places are in order, 1 octets apart or more"),
        ({"at": (5, 7), "cut": 3}, "at=(5, 7), every=None: places are in order, 3 octets apart or more"),
        ({"at": 5, "put": b"abcd", "every": 3}, "at=5, every=3: places are in order, 4 octets apart"),
        ({"mtu": 100}, "mtu=100 is out of range; give 576 to 65535 octets"),
        ({"xor": b""}, "xor=b'': no change at all"),
        ({"put": b"", "cut": 0}, "put=b'', cut=0"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        RewritePayload(**told)
    assert str(caught.value).startswith("RewritePayload: ")
    assert words in str(caught.value)
