"""Octets find their place. The rules are in `clauses/test_3_3_1...`; here are pieces that fit badly."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.endpoint import Kind
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import octets

WHOLE = octets(600)


def ready(checksum: bool = False) -> Peer:
    return Peer(opens=True, checksum=checksum, subflows=2).open().confirm()


@settings(max_examples=60, deadline=None)
@given(cuts=st.sets(st.integers(1, 599), max_size=6), pieces=st.sets(st.integers(1, 599), max_size=6),
       checksum=st.booleans())  # fmt: skip
def test_mappings_and_segments_need_not_match(cuts, pieces, checksum):
    """Mappings cut the stream in one way, segments in another: what arrives is the stream."""
    peer = ready(checksum)
    line, start = peer.initial, peer.next
    edges = [0, *sorted(cuts), 600]
    for first, last in pairwise(edges):
        line.send(line.dss(WHOLE[first:last], offset=start + first, at=line.next + first))
    edges = [0, *sorted(pieces), 600]
    for first, last in pairwise(edges):
        line.send(payload=WHOLE[first:last])
    assert peer.read() == WHOLE
    assert not peer.heard(Kind.CHECKSUM)


@settings(max_examples=60, deadline=None)
@given(order=st.permutations(range(6)), checksum=st.booleans())
def test_segments_may_come_in_any_order(order, checksum):
    peer = ready(checksum)
    line, start, at = peer.initial, peer.next, peer.initial.next
    for number in order:
        piece = WHOLE[number * 100 : number * 100 + 100]
        option = line.dss(piece, offset=start + number * 100, at=at + number * 100)
        line.send(option, payload=piece, at=at + number * 100)
    assert peer.read() == WHOLE


@pytest.mark.parametrize("checksum", [False, True])
def test_two_mappings_in_one_segment(checksum):
    """A box that coalesces leaves one of the options; an ACK may still bring the other."""
    peer = ready(checksum)
    line, start = peer.initial, peer.next
    second = line.dss(WHOLE[100:200], offset=start + 100, at=line.next + 100)
    line.send(line.dss(WHOLE[:100], offset=start), payload=WHOLE[:200])
    assert peer.read() == WHOLE[:100]
    line.send(second)
    assert peer.read() == WHOLE[100:200]


def test_octets_without_a_mapping_before_ones_with_one_are_passed_over():
    """They come again under another mapping; what follows does not wait for them."""
    peer = ready()
    line, start = peer.initial, peer.next
    line.send(payload=b"lost option")
    line.send(line.dss(b"second", offset=start + 11, at=line.next), payload=b"second")
    assert peer.read() is None
    assert peer.heard(Kind.IGNORED, "without a mapping")
    line.send(line.dss(b"lost option", offset=start, at=line.next), payload=b"lost option")
    assert peer.read() == b"lost optionsecond"


def test_a_mapping_longer_than_a_segment_may_end_with_the_stream():
    peer = ready()
    line = peer.initial
    option = line.dss(WHOLE, fin=True)
    line.send(option, payload=WHOLE[:300])
    assert peer.read() == WHOLE[:300]
    line.send(payload=WHOLE[300:])
    assert peer.read() == WHOLE[300:]
    assert peer.read() == b""


def test_a_mapping_of_octets_that_never_come_blocks_nothing():
    peer = ready()
    line = peer.join()
    line.send(line.dss(WHOLE, offset=peer.next + 1000))
    peer.initial.data(b"fine")
    assert peer.read() == b"fine"
