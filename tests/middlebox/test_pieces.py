from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.middlebox import can_join, cut, divided, follows, join, joined_options, sized
from mbtest.wire import (
    ACK,
    CWR,
    ECE,
    FIN,
    PSH,
    SYN,
    URG,
    Dss,
    NoOperation,
    Seq32,
    TcpOption,
    Timestamps,
)  # fmt: skip
from tests.middlebox.bench import segment

FLAGS = st.sets(st.sampled_from((FIN, SYN, PSH, URG, ECE, CWR))).map(lambda bits: ACK | sum(bits))
SEQUENCE = st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 50, 2**32 - 1))


@st.composite
def cuts(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    payload = draw(st.binary(min_size=1, max_size=60))
    bounds = sorted(draw(st.sets(st.integers(1, len(payload)), max_size=5)) | {0, len(payload)})
    return payload, [high - low for low, high in pairwise(bounds)]


@given(cuts(), FLAGS, SEQUENCE, st.sampled_from((4, 6)))
def test_pieces_are_the_segment(
    payload_sizes: tuple[bytes, list[int]], flags: int, seq: int, version: int
) -> None:
    payload, sizes = payload_sizes
    options = (Timestamps(1, 2), Dss(3))
    whole = segment(seq, payload, flags, ack=7, options=options, version=version, identification=65535)
    pieces = cut(whole, sizes)
    assert b"".join(piece.payload for piece in pieces) == payload
    assert [piece.payload_length for piece in pieces] == sizes
    assert pieces[0].seq == whole.seq
    assert pieces[-1].next_seq == whole.next_seq
    for piece, following in pairwise(pieces):
        assert following.seq == piece.next_seq
        assert not piece.flags & (FIN | PSH)
        assert not following.flags & (SYN | CWR)
    assert pieces[0].flags & (SYN | CWR) == flags & (SYN | CWR)
    assert pieces[-1].flags & (FIN | PSH) == flags & (FIN | PSH)
    for piece in pieces:
        assert piece.checksum_is_right()
        assert piece.options == whole.options
        assert (piece.ack, piece.window, piece.flow) == (whole.ack, whole.window, whole.flow)
        assert piece.flags & (ACK | ECE) == flags & (ACK | ECE)
    if version == 4:
        assert [piece.identification for piece in pieces] == [
            (65535 + number) % 65536 for number in range(len(pieces))
        ]


@given(cuts(), st.integers(1, 70))
def test_the_urgent_pointer_goes_on_pointing_at_the_same_octet(
    payload_sizes: tuple[bytes, list[int]], urgent: int
) -> None:
    payload, sizes = payload_sizes
    whole = segment(2**32 - 20, payload, ACK | URG, urgent=urgent)
    for piece in cut(whole, sizes):
        if piece.flags & URG:
            assert piece.seq + piece.urgent == whole.seq + urgent
        else:
            assert piece.urgent == 0
            assert piece.seq >= whole.seq + urgent


@pytest.mark.parametrize("sizes", [[], [3], [3, 3], [6, -1]])
def test_sizes_that_are_not_those_of_the_data_are_refused(sizes: list[int]) -> None:
    with pytest.raises(LocalProtocolError, match="5 octets of data"):
        cut(segment(payload=b"abcde"), sizes)


@given(st.integers(0, 3000), st.integers(1, 1500))
def test_sized_pieces_are_full_but_for_the_last(length: int, size: int) -> None:
    sizes = sized(length, size)
    assert sum(sizes) == length
    assert all(one == size for one in sizes[:-1])
    assert sizes[-1] <= size


@given(st.integers(1, 3000), st.integers(1, 50))
def test_divided_pieces_are_as_many_as_asked_and_even(length: int, number: int) -> None:
    sizes = divided(length, number)
    assert sum(sizes) == length
    assert len(sizes) == min(length, number)
    assert max(sizes) - min(sizes) <= 1


@given(cuts(), SEQUENCE, st.sampled_from((0, PSH)))
def test_joined_pieces_are_the_segment_again(
    payload_sizes: tuple[bytes, list[int]], seq: int, push: int
) -> None:
    payload, sizes = payload_sizes
    whole = segment(seq, payload, ACK | push, ack=9, options=[Timestamps(1, 2)])
    pieces = cut(whole, sizes)
    assert all(can_join(piece) for piece in pieces)
    assert all(follows(later, piece) for piece, later in pairwise(pieces))
    assert join(pieces, whole.options) == whole


def test_what_is_joined_says_what_the_last_said() -> None:
    first = segment(1, b"ab", ACK | PSH, ack=5, window=10)
    last = segment(3, b"cd", ACK, ack=8, window=20)
    joined = join((first, last), ())
    assert (joined.ack, joined.window, joined.flags) == (8, 20, ACK | PSH)


@pytest.mark.parametrize(
    ("seq", "changes"),
    [
        (4, {}),
        (2, {}),
        (3, {"ack": 4}),
        (3, {"flags": ACK | ECE}),
        (3, {"traffic_class": 2}),
        (3, {"ttl": 63}),
    ],
)
def test_data_that_does_not_go_on_under_the_same_headers_does_not_follow(
    seq: int, changes: dict[str, Any]
) -> None:
    earlier = segment(1, b"ab", ack=5)
    assert follows(segment(3, b"cd", ack=5), earlier)
    assert not follows(segment(seq, b"cd", **dict[str, Any](ack=5) | changes), earlier)


@pytest.mark.parametrize("flags", [ACK | FIN, ACK | SYN, ACK | URG, ACK | CWR, 0])
def test_only_plain_data_can_be_joined(flags: int) -> None:
    assert not can_join(segment(payload=b"ab", flags=flags))
    assert not can_join(segment())
    assert not can_join(segment(payload=b"ab").replace(checksum=0x1234))
    assert can_join(segment(payload=b"ab", flags=ACK | ECE | PSH))


def test_joined_options_are_the_signals_of_both_and_the_rest_of_the_second() -> None:
    first: tuple[TcpOption, ...] = (NoOperation(), Timestamps(1, 2), Dss(5))
    second = (Timestamps(3, 4), Dss(6), Dss(5))
    assert joined_options(first, second) == (Timestamps(3, 4), Dss(5), Dss(6))


def test_the_second_piece_of_a_syn_begins_behind_its_number() -> None:
    first, second = cut(segment(2**32 - 1, b"abc", SYN), [1, 2])
    assert (first.seq, second.seq) == (2**32 - 1, Seq32(1))
