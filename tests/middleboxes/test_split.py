from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.wire import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Dss,
    MpCapable,
    MptcpOption,
    NoOperation,
    Segment,
    TcpOption,
    Timestamps,
)  # fmt: skip
from middleboxes.split import SplitSegments
from tests.middlebox.bench import Line, segment, talk

SEQUENCE = st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 50, 2**32 - 1))
FLAGS = st.sets(st.sampled_from((FIN, PSH))).map(lambda bits: ACK | sum(bits))
OPTIONS: list[TcpOption] = [Timestamps(1, 2), Dss(3, 4, 5, 6)]


def split(one: Segment, *told: Any, **also: Any) -> list[Segment]:
    return Line(SplitSegments(*told, **also)).put(one)


@given(st.binary(min_size=1, max_size=100), SEQUENCE, FLAGS, st.integers(1, 110), st.sampled_from((4, 6)))
def test_pieces_put_together_are_the_segment(
    payload: bytes, seq: int, flags: int, size: int, version: int
) -> None:
    one = segment(seq, payload, flags, options=OPTIONS, version=version)
    pieces = split(one, size)
    assert b"".join(piece.payload for piece in pieces) == payload
    expected = one.seq
    for piece in pieces:
        assert piece.seq == expected
        assert piece.checksum_is_right()
        assert 0 < piece.payload_length <= size
        assert piece.fin == bool(piece is pieces[-1] and flags & FIN)
        assert piece.psh == bool(piece is pieces[-1] and flags & PSH)
        expected = piece.next_seq
    assert expected == one.next_seq


@given(st.integers(1, 100), st.integers(2, 20))
def test_a_number_of_pieces_is_made_where_there_are_octets_for_them(length: int, pieces: int) -> None:
    assert len(split(segment(payload=bytes(length)), pieces=pieces)) == min(length, pieces)


def kept_by(options: str, lost: str) -> list[list[TcpOption]]:
    pieces = split(segment(payload=b"abc", options=OPTIONS), 1, options=options, lost=lost)
    return [[one for one in piece.options if not isinstance(one, NoOperation)] for piece in pieces]


@pytest.mark.parametrize("lost", ["every", "mptcp"])
@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        ("all", [True, True, True]),
        ("first", [True, False, False]),
        ("last", [False, False, True]),
        ("none", [False, False, False]),
    ],
)
def test_the_pieces_that_are_to_have_options_have_them(options: str, keeps: list[bool], lost: str) -> None:
    bare = [] if lost == "every" else [one for one in OPTIONS if not isinstance(one, MptcpOption)]
    assert kept_by(options, lost) == [OPTIONS if keep else bare for keep in keeps]


@pytest.mark.parametrize(
    "one",
    [
        segment(),
        segment(flags=FIN | ACK),
        segment(payload=b"a", flags=PSH | ACK),
        segment(payload=b"abc", flags=SYN, options=[MpCapable()]),
        segment(payload=b"abc", flags=RST),
        segment(payload=b"abc").replace(checksum=0x1234),
    ],
)
def test_what_is_not_to_be_cut_passes_as_it_is(one: Segment) -> None:
    assert split(one, 1)[0] is one


def test_a_segment_of_one_piece_is_the_very_one() -> None:
    one = segment(payload=b"abc")
    assert split(one, 3)[0] is one


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.sampled_from((7, 20, 60)))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float, size: int) -> None:
    for connection in talk(SplitSegments(size), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"size": 0}, "size=0 is out of range; give 1 to 65535 octets"),
        ({"pieces": 1}, "pieces=1 is out of range; give 2 to 65535"),
        ({"options": "some"}, "options='some' should be one of 'all', 'first', 'last', 'none'"),
        ({"lost": "some"}, "lost='some' should be 'every' or 'mptcp'"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^SplitSegments: {words}$"):
        SplitSegments(**told)
