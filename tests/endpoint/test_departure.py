"""The form of what goes out: options, windows, SACK blocks, flags."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from mbtest.endpoint.departure import shift_for
from mbtest.wire import Segment
from mbtest.wire.options import MaximumSegmentSize, Sack, SackPermitted, Timestamps, WindowScale
from tests.endpoint.pair import ACK, CLIENT, FURTHER, PSH, SERVER, SYN, ByHand, Pair

TCP = {"mptcp": False}
DATA = Random(8).randbytes(200_000)


@pytest.mark.parametrize(
    ("buffer", "shift"), [(65_535, 0), (65_536, 1), (4 << 20, 7), (1 << 30, 14), (1 << 40, 14)]
)
def test_the_scale_lets_the_whole_buffer_be_advertised(buffer: int, shift: int) -> None:
    assert shift_for(buffer) == shift


def test_a_syn_offers_what_is_configured_and_a_syn_ack_what_was_offered() -> None:
    forms = (MaximumSegmentSize, SackPermitted, Timestamps, WindowScale)
    hand = ByHand()
    assert [hand.connect().option(form) is not None for form in forms] == [True] * 4
    hand = ByHand()
    (answer,) = hand.say(SYN, 0, options=(Timestamps(77, 0),))
    assert [answer.option(form) is not None for form in forms] == [True, False, True, False]
    assert answer.option(Timestamps).echo == 77  # type: ignore[union-attr]
    hand = ByHand(sack=False, timestamps=False, window_scaling=False)
    assert [hand.connect().option(form) is not None for form in forms] == [True, False, False, False]


@pytest.mark.parametrize(("family", "size"), [(4, 1_460), (6, 1_440)])
def test_the_mss_is_what_the_mtu_leaves(family: int, size: int) -> None:
    assert ByHand(family=family).connect().option(MaximumSegmentSize) == MaximumSegmentSize(size)
    pair = Pair({"mtu": 900}, {"mtu": 700}, family=family)
    _, server = pair.connect(DATA[:5_000], DATA[:5_000])
    pair.run(lambda: server.ended)
    assert max(len(segment.raw) for _, _, segment in pair.log) <= 700


# -- SACK (RFC 2018 §4, RFC 2883 §4) -----------------------------------


def blocks(hand: ByHand, answers: list[Segment]) -> list[tuple[int, int]]:
    (answer,) = answers
    sack = answer.option(Sack)
    if sack is None:
        return []
    return [tuple((edge - hand.iss) & 0xFFFF_FFFF for edge in pair) for pair in sack.blocks]  # type: ignore[misc]


def receiver(*, timestamps: bool = False) -> ByHand:
    hand = ByHand()
    hand.accept(SackPermitted(), *((Timestamps(1, 0),) if timestamps else ()))
    return hand


def test_the_first_block_holds_the_segment_that_is_answered() -> None:
    hand = receiver()
    assert blocks(hand, hand.say(ACK, 11, 1, b"12345")) == [(11, 16)]
    assert blocks(hand, hand.say(ACK, 31, 1, b"12345")) == [(31, 36), (11, 16)]
    assert blocks(hand, hand.say(ACK, 16, 1, b"67")) == [(11, 18), (31, 36)]
    assert blocks(hand, hand.say(ACK, 1, 1, bytes(10))) == [(31, 36)]
    assert blocks(hand, hand.say(ACK, 18, 1, bytes(13))) == []


@pytest.mark.parametrize(("timestamps", "most"), [(False, 4), (True, 3)])
def test_as_many_blocks_are_reported_as_there_is_room_for(timestamps: bool, most: int) -> None:
    hand = receiver(timestamps=timestamps)
    options = (Timestamps(2, 0),) if timestamps else ()
    for n in range(1, 9):
        found = blocks(hand, hand.say(ACK, 100 * n, 1, b"x", options=options))
        assert found == [(100 * m, 100 * m + 1) for m in range(n, 0, -1)][:most]


def test_octets_that_came_twice_are_reported_once() -> None:
    """RFC 2883 §4.1: below the acknowledgement, and within a block."""
    hand = receiver()
    hand.say(ACK | PSH, 1, 1, b"0123456789")
    assert blocks(hand, hand.say(ACK, 1, 1, b"0123456789")) == [(1, 11)]
    assert blocks(hand, hand.say(ACK, 21, 1, b"abcdef")) == [(21, 27)]
    assert blocks(hand, hand.say(ACK, 23, 1, b"cd")) == [(23, 25), (21, 27)]
    assert blocks(hand, hand.say(ACK, 31, 1, b"x")) == [(31, 32), (21, 27)]
    assert blocks(hand, hand.say(ACK, 8, 1, b"789#####")) == [(8, 11), (31, 32), (21, 27)]


def test_no_blocks_are_reported_where_none_were_agreed_on() -> None:
    hand = ByHand()
    hand.accept()
    assert blocks(hand, hand.say(ACK, 11, 1, b"12345")) == []


# -- The window -----------------------------------


def test_a_closed_window_opens_in_one_go() -> None:
    """RFC 9293 §3.8.6.2.2: the receiver's half of silly window avoidance."""
    hand = ByHand(receive_buffer=20_000)
    connection = hand.accept(MaximumSegmentSize(1_460))
    for n in range(20):
        answers = hand.say(ACK | PSH, 1 + 1_000 * n, 1, bytes(1_000))
    assert answers[-1].window == 0
    for _ in range(14):
        connection.receive(100, hand.now)
        (answer,) = hand.say(ACK | PSH, 20_001, 1, b"?")
        assert answer.window == 0
    connection.receive(100, hand.now)
    (answer,) = hand.say(ACK | PSH, 20_001, 1, b"?")
    assert answer.window == 1_500
    connection.receive(18_500, hand.now)
    (update,) = hand.answers()
    assert (update.flags, update.window) == (ACK, 20_000)


def test_a_reader_in_small_steps_gets_no_small_segments() -> None:
    """Both halves of silly window avoidance at work."""
    pair = Pair(TCP, {**TCP, "receive_buffer": 20_000})
    _, server = pair.connect(DATA)
    server.reads = False
    for _ in range(1_000):
        pair.run(seconds=0.01)
        server.got += server.connection.receive(300, pair.now) or b""
    server.reads = True
    pair.run(lambda: server.ended)
    assert bytes(server.got) == DATA
    sizes = [segment.payload_length for segment in pair.sent(CLIENT)]
    assert sum(size >= 1_000 for size in sizes) > sum(0 < size < 1_000 for size in sizes)


def test_the_right_edge_does_not_move_left_by_a_unit_of_the_scale() -> None:
    """RFC 9293 §3.8.6, RFC 7323 §2.4."""
    pair = Pair({**TCP}, {**TCP, "receive_buffer": 1 << 20})
    _, server = pair.connect(DATA, ends=False)
    server.reads = False
    pair.run(lambda: server.connection.incoming.unread == len(DATA))
    edges = [int(segment.ack) + (segment.window << 5) for segment in pair.sent(SERVER) if not segment.syn]
    assert all(later > before - 32 for before, later in pairwise(edges))


def test_the_window_of_a_subflow_is_the_shared_one_even_where_that_moves_its_edge_left() -> None:
    """RFC 8684 §3.3.4, §3.3.5: what is unread came another way."""
    pair = Pair({"subflows": 1, "join_from": (FURTHER,)}, {"subflows": 1, "receive_buffer": 100_000})
    client, server = pair.connect(b"x", ends=False)
    assert pair.run(lambda: len(client.connection.usable()) == 2)
    pair.run(seconds=1)
    server.reads = False
    for subflow in client.connection.subflows[1:]:
        subflow.backup = True
    client.write(DATA[:90_000])
    pair.run(seconds=5)
    since = pair.now
    server.connection.subflows[1].acknowledge(pair.now)
    pair.run(seconds=1)
    (answer,) = pair.sent(SERVER, since=since)
    shift = server.connection.subflows[1].receive_shift
    assert answer.window << shift <= 100_000 - server.connection.incoming.unread


def test_psh_is_on_the_last_octets_that_were_written() -> None:
    hand = ByHand()
    hand.accept(MaximumSegmentSize(1_000))
    sent = hand.write(bytes(2_500))
    assert sent[-1].psh
