from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.endpoint.icmp import too_big
from mbtest.errors import UsageError
from mbtest.wire import Packet, Segment, decode
from mbtest.wire.fragments import Defragmenter
from middleboxes.path_mtu import LimitMtu
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

VERSIONS = st.sampled_from((4, 6))
WAYS = st.sampled_from((TO_SERVER, TO_CLIENT))


def may_be_cut(size: int) -> Segment:
    raw = bytearray(segment(5, bytes(size)).raw)
    raw[6] = 0
    packet = decode(bytes(raw))
    assert isinstance(packet, Segment)
    return packet


@given(VERSIONS, WAYS, st.integers(0, 1400), st.integers(1280, 1460))
def test_what_fits_passes_and_the_sender_of_what_does_not_is_told(
    version: int, way: Any, size: int, mtu: int
) -> None:
    line = Line(LimitMtu(mtu))
    one = segment(7, bytes(size), version=version, direction=way)
    if len(one) <= mtu:
        assert line.put(one, way)[0] is one
        assert len(line.out) == 1
        return
    assert line.put(one, way) == []
    ((error, back),) = line.out
    told = too_big(error)
    assert back is way.reverse
    assert told is not None
    assert (told.flow, told.sequence, told.mtu) == (one.flow, 7, mtu)


@pytest.mark.parametrize("version", [4, 6])
def test_a_black_hole_tells_nobody(version: int) -> None:
    line = Line(LimitMtu(1280, tells=False))
    one = segment(7, bytes(1400), version=version)
    assert line.put(one) == line.out == []
    assert line.chain.comment(one) == f"LimitMtu dropped it: {len(one)} octets, 1280 fit"


def test_another_size_can_be_named() -> None:
    line = Line(LimitMtu(1280, names=1300))
    line.put(segment(7, bytes(1400)))
    told = too_big(line.out[0][0])
    assert told is not None
    assert told.mtu == 1300


def test_what_may_be_cut_goes_on_in_fragments() -> None:
    line = Line(LimitMtu(600))
    one = may_be_cut(1400)
    line.put(one)
    assert all(len(piece) <= 600 for piece, _ in line.out)
    pieces = Defragmenter()
    (whole,) = filter(None, [pieces.complete(piece) for piece, _ in line.out])
    assert (whole.content, whole.identification) == (one.content, one.identification)


def test_other_protocols_pass() -> None:
    raw = bytearray(segment(7, bytes(1400)).raw)
    raw[9] = 17
    other = decode(bytes(raw))
    line = Line(LimitMtu(600))
    line.put(other)
    assert line.out == [(other, TO_SERVER)]
    assert type(other) is Packet


@pytest.mark.parametrize("told", [{"size": 67}, {"size": 65536}, {"names": -1}, {"tells": "loudly"}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^LimitMtu: "):
        LimitMtu(**told)
