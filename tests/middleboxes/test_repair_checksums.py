from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Middlebox
from mbtest.wire import SYN, Dss, MpCapable, MpFail, Sack, Segment, TcpOption, Timestamps
from mbtest.wire.checksum import dss_checksum
from mbtest.wire.keys import initial_data_sequence_number
from middleboxes.repair_checksums import RepairChecksums
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.split import SplitSegments
from tests.middlebox.bench import TO_SERVER, Line, segment

KEY = 77
FIRST = initial_data_sequence_number(KEY) + 1
STAMPS = Timestamps(1, 2)


def dss(at: int, data: bytes, fin: bool = False, ack: int | None = 5) -> Dss:
    """Return the mapping of `data`, which stands at a stream offset."""
    length = len(data) + fin
    checksum = dss_checksum(FIRST + at, at + 1, length, data)
    return Dss(ack, int(FIRST + at), at + 1, length, checksum, data_fin=fin, dsn_64=True)


def through(boxes: Sequence[Middlebox], segments: Iterable[Segment]) -> list[Segment]:
    line = Line(*boxes)
    line.put(segment(2**32 - 1, flags=SYN, options=[MpCapable()]))
    return [out for one in segments for out in line.put(one)]


def check(segments: Sequence[Segment], stream: bytes, fin: bool = False) -> None:
    """Fail unless the segments carry the stream, each with the mapping and the checksum of its own data."""
    assert segments
    for one in segments:
        assert one.checksum_is_right()
        at, data = int(one.seq), one.payload
        assert stream[at : at + len(data)] == data
        option = one.option(MpCapable) or one.option(Dss)
        is_last = fin and at + len(data) == len(stream)
        length = len(data) + is_last
        if isinstance(option, MpCapable):
            assert (at, option.data_length) == (0, length)
        else:
            assert isinstance(option, Dss)
            assert (option.dsn, option.subflow_sequence, option.length) == (int(FIRST + at), at + 1, length)
            assert option.data_fin == is_last
        assert option.checksum == dss_checksum(FIRST + at, at + 1, length, data)


def sliced(data: bytes, size: int) -> list[tuple[int, bytes]]:
    return [(at, data[at : at + size]) for at in range(0, len(data), size)]


DATA = st.binary(min_size=40, max_size=300)


@given(DATA, st.integers(0, 39), st.integers(1, 80), st.integers(1, 300), st.booleans())
@settings(deadline=None)
def test_changed_data_has_right_checksums(data: bytes, at: int, size: int, span: int, fin: bool) -> None:
    """Mappings of `span` octets lie over segments of `size`, each of which repeats its mapping."""
    segments = [
        segment(start + inner, piece, options=[STAMPS, dss(start, whole, fin and start + span >= len(data))])
        for start, whole in sliced(data, span)
        for inner, piece in sliced(whole, size)
    ]
    change = RewritePayload(at=at, every=40)
    changed = change.delivers(data, TO_SERVER)
    check(through([change, RepairChecksums()], segments), changed, fin)
    check(through([change, RepairChecksums()], [*segments, *segments[::-1]]), changed, fin)


@given(DATA, st.integers(1, 80))
@settings(deadline=None)
def test_a_mapping_that_only_its_first_segment_tells_is_known_on_the_others(data: bytes, size: int) -> None:
    one = segment(0, data, options=[STAMPS, dss(0, data)])
    boxes = [SplitSegments(size, options="first", lost="mptcp"), RewritePayload(at=7), RepairChecksums()]
    out = through(boxes, [one])
    check(out, RewritePayload(at=7).delivers(data, TO_SERVER))
    assert len(out) == len(sliced(data, size))


@given(DATA, st.integers(1, 80))
def test_mp_capable_maps_the_first_octets_and_dss_those_behind_it(data: bytes, size: int) -> None:
    capable = MpCapable(0x81, KEY, 88, len(data), dss_checksum(FIRST, 1, len(data), data))
    segments = [segment(at, piece, options=[capable]) for at, piece in sliced(data, size)]
    out = through([RewritePayload(at=3), RepairChecksums()], segments)
    check(out, RewritePayload(at=3).delivers(data, TO_SERVER))
    assert [one.option(MpCapable) is not None for one in out] == [at == 0 for at in range(len(out))]


def test_what_grows_too_large_is_cut() -> None:
    data = bytes(range(256)) * 12
    first, second = data[:1400], data[1400 : 1400 + 1448]
    out = through(
        [RepairChecksums()],
        [segment(0, first, options=[dss(0, data)]), segment(1400, second, options=[STAMPS, Dss(5)])],
    )
    check(out, data)
    assert b"".join(one.payload for one in out) == first + second
    assert max(len(one) for one in out) <= 1500


def test_data_as_it_was_sent_passes_as_it_came() -> None:
    one = segment(0, b"some data", options=[STAMPS, dss(0, b"some data")])
    assert through([RepairChecksums()], [one])[0] is one


@pytest.mark.parametrize(
    "options",
    [
        [Dss(5)],
        [Dss(5, int(FIRST), 1, 4, dsn_64=True)],
        [Dss(5, int(FIRST) & 0xFFFFFFFF, 1, 4, 0x1234)],
        [Dss(5, int(FIRST), 1, 0, 0, dsn_64=True)],
        [MpCapable(1, KEY, 88, 4)],
        [],
    ],
)
def test_what_cannot_be_mended_is_the_very_one(options: list[TcpOption]) -> None:
    one = segment(0, b"data", options=options)
    assert through([RepairChecksums()], [one])[0] is one


def test_a_data_fin_alone_and_other_signals_are_the_very_ones() -> None:
    fin = dss(0, b"", fin=True)
    for option in (Dss(5, fin.dsn, 0, 1, 7, data_fin=True, dsn_64=True), MpFail(3)):
        one = segment(0, options=[option])
        assert through([RepairChecksums()], [one])[0] is one


def test_nothing_is_mended_after_an_infinite_mapping() -> None:
    first = segment(0, b"data", options=[dss(0, b"data")])
    infinite = segment(4, b"more", options=[Dss(5, int(FIRST) + 4, 5, 0, 0, dsn_64=True)])
    again = segment(0, b"DATA")
    assert through([RepairChecksums()], [first, infinite, again]) == [first, infinite, again]


def test_a_segment_without_room_for_a_mapping_is_the_very_one() -> None:
    data = bytes(100)
    blocks = Sack(((1, 2), (3, 4), (5, 6)))
    first = segment(0, data[:50], options=[dss(0, data)])
    full = segment(50, data[50:], options=[STAMPS, blocks])
    assert through([RepairChecksums()], [first, full])[-1] is full


def test_a_segment_with_a_wrong_checksum_is_the_very_one() -> None:
    one = segment(0, b"data", options=[dss(0, b"date")]).replace(checksum=1)
    assert through([RepairChecksums()], [one])[0] is one


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^RepairChecksums: largest=100 is out of range"):
        RepairChecksums(largest=100)
