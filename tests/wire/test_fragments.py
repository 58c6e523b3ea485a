from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.wire import Packet, Segment, Timestamps, WireError, decode
from mbtest.wire.fragments import Defragmenter, fragments, may_fragment
from mbtest.wire.ip import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP

VERSIONS = st.sampled_from((4, 6))
SIZES = st.integers(76, 1500)


def segment(version: int, size: int) -> Segment:
    ends = ("192.0.2.1", "192.0.2.2") if version == 4 else ("2001:db8::1", "2001:db8::2")
    payload = Random(size).randbytes(size)
    return Segment.build(*ends, 40000, 80, seq=7, options=[Timestamps(1, 2)], payload=payload)


def put_together(pieces: list[Packet]) -> list[Packet]:
    fragments_of = Defragmenter()
    return [whole for piece in pieces if (whole := fragments_of.complete(piece)) is not None]


@given(VERSIONS, st.integers(0, 3000), SIZES, st.randoms(use_true_random=False))
def test_fragments_in_any_order_make_the_packet(version: int, length: int, size: int, random: Random) -> None:
    packet = segment(version, length)
    pieces = fragments(packet, size, 0xBEEF)
    random.shuffle(pieces)
    if len(packet) <= size:
        assert pieces == [packet]
        return
    (whole,) = put_together(pieces)
    assert isinstance(whole, Segment)
    assert whole.content == packet.content
    assert whole.checksum_is_right()
    assert whole.ip_checksum_is_right()
    assert (whole.source, whole.destination, whole.ttl) == (packet.source, packet.destination, packet.ttl)


@given(VERSIONS, SIZES)
def test_each_fragment_is_a_packet_of_its_own_that_fits(version: int, size: int) -> None:
    pieces = fragments(segment(version, 2000), size, 5)
    for piece in pieces:
        assert piece.protocol == FRAGMENT
        assert len(piece) == piece.end <= size
        assert piece.ip_checksum_is_right()
        assert decode(piece.raw) == piece
    assert len(pieces[0]) > size - 8


def test_headers_before_the_fragment_header_stay() -> None:
    padding = bytes((0, 0, 1, 4, 0, 0, 0, 0))
    extensions = [(HOP_BY_HOP, padding), (DESTINATION_OPTIONS, padding)]
    packet = segment(6, 500).replace(extension_headers=extensions)
    pieces = fragments(packet, 300, 5)
    assert [kind for kind, _ in pieces[1].extension_headers] == [HOP_BY_HOP, DESTINATION_OPTIONS]
    assert put_together(pieces) == [packet]


def test_ipv4_options_stay() -> None:
    packet = segment(4, 500).replace(ip_options=bytes((0x94, 4, 0, 0)))
    (whole,) = put_together(fragments(packet, 300, packet.identification))
    assert whole.ip_options == packet.ip_options
    assert whole.content == packet.content


def test_fragments_of_several_packets_are_told_apart() -> None:
    one, two, three = (fragments(segment(4, 100 + number), 100, number) for number in range(3))
    six = fragments(segment(6, 100), 100, 1)
    mixed = [*one[:1], *two[:1], *six[:1], *three[1:], *two[1:], *one[1:], *six[1:]]
    assert [len(whole) for whole in put_together(mixed)] == [153, 152, 172]


def test_a_fragment_come_twice_does_no_harm() -> None:
    first, *rest = fragments(segment(4, 300), 200, 1)
    assert len(put_together([first, first, *rest])) == 1


def test_what_overlaps_does_not_replace_what_came_first() -> None:
    packet = segment(4, 300)
    false = fragments(packet.replace(payload=bytes(300)), 196, 1)
    true = fragments(packet, 164, 1)
    (whole,) = put_together([true[0], true[1], false[0], true[2]])
    assert whole.content == packet.content


def test_whole_packets_and_holes_make_nothing() -> None:
    packet = segment(4, 300)
    first, second, *rest = fragments(packet, 150, 1)
    assert len(rest) == 1
    assert put_together([packet, first, *rest]) == []
    assert put_together([second, *rest]) == []


def test_the_oldest_gives_way_when_too_many_wait() -> None:
    waiting = [fragments(segment(4, 100), 100, number) for number in range(100)]
    whole = put_together([first for first, _ in waiting] + [second for _, second in reversed(waiting)])
    assert 0 < len(whole) < 100


def test_what_would_be_longer_than_a_packet_can_be_is_dropped() -> None:
    pieces = fragments(segment(4, 300), 200, 1)
    last = bytearray(pieces[-1].raw)
    last[6:8] = (8191).to_bytes(2, "big")
    assert put_together([pieces[0], decode(bytes(last))]) == []


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40), st.booleans()), max_size=8))
def test_any_fragments_at_all_are_put_together_or_refused(shapes: list[tuple[int, int, bool]]) -> None:
    fragments_of = Defragmenter()
    first = fragments(segment(4, 100), 100, 1)[0]
    for at, size, more in shapes:
        raw = bytearray(first.raw[: 20 + size])
        raw[2:4] = len(raw).to_bytes(2, "big")
        raw[6:8] = (at | more << 13).to_bytes(2, "big")
        try:
            whole = fragments_of.complete(decode(bytes(raw)))
        except WireError:
            continue
        assert whole is None or whole.protocol != FRAGMENT


@pytest.mark.parametrize(("version", "least"), [(4, 28), (6, 56)])
def test_headers_must_leave_room(version: int, least: int) -> None:
    packet = segment(version, 50)
    assert len(fragments(packet, least, 1)) > 1
    with pytest.raises(
        LocalProtocolError, match=rf"^fragments of {least - 1} octets have no room beside \d+"
    ):
        fragments(packet, least - 1, 1)


def test_who_may_cut() -> None:
    packet = segment(4, 100)
    without = bytearray(packet.raw)
    without[6] = 0
    assert may_fragment(decode(bytes(without)))
    assert not may_fragment(packet)
    assert not may_fragment(segment(6, 100))
