import pickle
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.wire import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    URG,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MptcpOption,
    NoOperation,
    Packet,
    Sack,
    Segment,
    Seq32,
    TcpOption,
    Timestamps,
    WindowScale,
    WireError,
    decode,
    encode_options,
)
from mbtest.wire.checksum import finish, ones_sum
from mbtest.wire.ip import final_destination


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


# 192.0.2.1:32768 > 198.51.100.2:80, SYN, MSS 1460 and MP_CAPABLE; checksums worked out by scapy.
SYN_V4 = hexed(
    "4500 0030 0001 4000 40 06 4e90 c0000201 c6336402"
    "8000 0050 01020304 00000000 7002 ffff f80f 0000 020405b4 1e040181"
)


def right_checksum(segment: Segment) -> int:
    """The checksum from scratch, over the pseudo-header as RFC 9293 §3.1 and RFC 8200 §8.1 draw it."""
    content = bytearray(segment.content)
    content[16:18] = b"\0\0"
    ends = segment.source_octets + final_destination(segment.raw, segment.transport)
    return finish(ones_sum(ends + b"\0\6" + len(content).to_bytes(2, "big") + content))


def test_syn_by_hand() -> None:
    segment = decode(SYN_V4)

    assert isinstance(segment, Segment)
    assert (segment.source_port, segment.destination_port) == (32768, 80)
    assert (segment.seq, segment.ack, segment.window, segment.urgent) == (0x01020304, 0, 65535, 0)
    assert (segment.flags, segment.syn, segment.has_ack) == (SYN, True, False)
    assert (segment.fin, segment.rst, segment.psh) == (False, False, False)
    assert segment.options == (MaximumSegmentSize(1460), MpCapable(flags=0x81))
    assert (segment.payload, segment.payload_length, segment.sequence_length) == (b"", 0, 1)
    assert segment.next_seq == 0x01020305
    assert segment.checksum == 0xF80F
    assert segment.checksum_is_right()
    assert segment.ip_checksum_is_right()
    assert segment.flow == (hexed("c0000201 8000"), hexed("c6336402 0050"))


def test_build_is_the_hand_written_segment() -> None:
    segment = Segment.build(
        "192.0.2.1", "198.51.100.2", 32768, 80, seq=0x01020304, flags=SYN, identification=1,
        options=[MaximumSegmentSize(1460), MpCapable(flags=0x81)],
    )  # fmt: skip

    assert segment.raw == SYN_V4


def test_ipv6_by_hand() -> None:
    segment = Segment.build(
        "2001:db8::1", "2001:db8::2", 1, 2, seq=-1, flags=FIN | PSH | ACK, payload=b"abc", ttl=7,
        traffic_class=0xAB, identification=0xCDEF0,
    )  # fmt: skip

    assert segment.raw[:8] == hexed("6abcdef0 0017 06 07")
    assert segment.raw[-3:] == b"abc"
    assert (segment.seq, segment.next_seq, segment.sequence_length) == (0xFFFFFFFF, 3, 4)
    assert segment.checksum == right_checksum(segment)


# -- the two laws -----------------------------------------------------------------------------------------


@given(st.from_type(Packet))
def test_accepted_octets_come_out_as_they_went_in(packet: Packet) -> None:
    raw = bytes(packet)
    again = decode(raw)

    assert bytes(again) == raw
    assert again == packet
    assert hash(again) == hash(packet)
    assert type(again) is type(packet)
    assert raw[: again.transport] + again.content + again.trailer == raw


@given(st.from_type(Packet).filter(lambda packet: isinstance(packet, Segment)))
def test_accepted_segment_is_the_sum_of_its_parts(segment: Segment) -> None:
    assert encode_options(segment.options) == segment.option_block
    header = segment.raw[segment.transport : segment.transport + 20]
    assert header + segment.option_block + segment.payload == segment.content


@given(st.from_type(Segment))
def test_built_segment_is_decoded_as_it_was_built(segment: Segment) -> None:
    again = decode(bytes(segment))

    assert again == segment
    assert isinstance(again, Segment)
    for name in ("version", "protocol", "transport", "payload_offset", "end", "options", "payload", "flow"):
        assert getattr(again, name) == getattr(segment, name), name
    assert segment.checksum == right_checksum(segment)
    assert segment.checksum_is_right()
    assert segment.ip_checksum_is_right()


@given(st.from_type(Segment))
def test_rebuilding_from_the_fields_gives_the_same_octets(segment: Segment) -> None:
    rebuilt = Segment.build(
        segment.source, segment.destination, segment.source_port, segment.destination_port,
        seq=segment.seq, ack=segment.ack, flags=segment.flags, window=segment.window,
        options=segment.options, payload=segment.payload, urgent=segment.urgent, ttl=segment.ttl,
        traffic_class=segment.traffic_class, identification=segment.identification,
    )  # fmt: skip
    if segment.version == 6:
        rebuilt = rebuilt.replace(extension_headers=segment.extension_headers)
    else:
        rebuilt = rebuilt.replace(ip_options=segment.ip_options)

    assert rebuilt == segment


@given(st.binary(max_size=100))
def test_any_octets_are_a_packet_or_a_wire_error(raw: bytes) -> None:
    try:
        packet = decode(raw)
    except WireError as error:
        offset = error.offset
    else:
        offset = 0
        assert bytes(packet) == raw
    assert 0 <= offset <= len(raw)


@given(st.from_type(Segment), st.data())
def test_every_cut_is_refused(segment: Segment, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(segment) - 1))

    with pytest.raises(WireError) as refused:
        decode(segment.raw[:cut])

    assert 0 <= refused.value.offset <= cut


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (32, 0x40, "data offset of 16 octets"),
        (32, 0x80, "data offset of 32 octets, only 28"),
        (3, 39, "TCP header of 20 octets cut off after 19"),
        (0, 0x4A, "TCP header of 20 octets cut off after 8"),
    ],
)
def test_tcp_header_that_contradicts_itself(at: int, value: int, reason: str) -> None:
    raw = bytearray(SYN_V4)
    raw[at] = value

    with pytest.raises(WireError, match=reason):
        decode(bytes(raw))


def test_segment_of_another_protocol_is_refused() -> None:
    with pytest.raises(WireError, match="IP protocol 17, TCP is 6"):
        Segment(SYN_V4[:9] + b"\x11" + SYN_V4[10:])


def test_absurd_flags_are_kept() -> None:
    raw = bytearray(SYN_V4)
    raw[32:34] = hexed("7fff")
    segment = decode(bytes(raw))

    assert isinstance(segment, Segment)
    assert segment.flags == 0xFFF
    assert segment.syn
    assert segment.fin
    assert segment.sequence_length == 2
    assert not segment.checksum_is_right()


# -- replace ----------------------------------------------------------------------------------------------


def address_of(version: int) -> st.SearchStrategy[Any]:
    size = 4 if version == 4 else 16
    return st.binary(min_size=size, max_size=size).map(ip_address)


def fields_of(segment: Segment) -> dict[str, st.SearchStrategy[Any]]:
    short, byte, number = st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.integers(0, 0xFFFFFFFF)
    return {
        "source": address_of(segment.version), "destination": address_of(segment.version), "ttl": byte,
        "traffic_class": byte,
        "identification": short if segment.version == 4 else st.integers(0, 0xFFFFF),
        "source_port": short, "destination_port": short, "seq": number, "ack": number,
        "flags": st.integers(0, 0xFFF), "window": short, "urgent": short,
        "payload": st.binary(max_size=40),
        "options": st.lists(
            st.from_type(TcpOption).filter(lambda option: len(option.encode()) <= 12), max_size=3
        ),
    }  # fmt: skip


def draw_changes(segment: Segment, data: st.DataObject) -> dict[str, Any]:
    fields = fields_of(segment)
    names = data.draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
    return {name: data.draw(fields[name], name) for name in names}


def shown(name: str, value: Any) -> Any:
    """What the field reads as once it is `value`: options come with their padding."""
    if name != "options":
        return value
    padding = -sum(len(option.encode()) for option in value) % 4
    return (*value, *[NoOperation()] * padding)


@given(st.from_type(Segment), st.data())
def test_replaced_fields_read_back_and_the_others_stay(segment: Segment, data: st.DataObject) -> None:
    changes = draw_changes(segment, data)

    copy = segment.replace(**changes)

    for name in fields_of(segment):
        expected = shown(name, changes[name]) if name in changes else getattr(segment, name)
        assert getattr(copy, name) == expected, name
    assert copy.trailer == segment.trailer
    assert copy.ip_options == segment.ip_options
    assert decode(bytes(copy)) == copy


@given(st.from_type(Segment), st.data())
def test_right_checksums_stay_right(segment: Segment, data: st.DataObject) -> None:
    copy = segment.replace(**draw_changes(segment, data))

    assert copy.checksum == right_checksum(copy)
    assert copy.ip_checksum_is_right()


@given(st.from_type(Segment), st.integers(1, 0xFFFE), st.data())
def test_wrong_checksum_stays_wrong_by_as_much(segment: Segment, error: int, data: st.DataObject) -> None:
    wrong = segment.replace(checksum=(segment.checksum + error) % 0xFFFF)
    changes = draw_changes(segment, data)

    copy = wrong.replace(**changes)

    kept = 0 if "payload" in changes else error
    assert copy.checksum % 0xFFFF == (right_checksum(copy) + kept) % 0xFFFF


@given(st.from_type(Segment), st.integers(1, 0xFFFE), st.data())
def test_wrong_ip_checksum_stays_wrong(segment: Segment, error: int, data: st.DataObject) -> None:
    if segment.version == 6:
        return
    assert segment.ip_checksum is not None
    wrong = segment.replace(ip_checksum=(segment.ip_checksum + error) % 0xFFFF)
    copy = wrong.replace(**draw_changes(segment, data))

    header = bytearray(copy.raw[: copy.transport])
    header[10:12] = b"\0\0"
    assert copy.ip_checksum is not None
    assert copy.ip_checksum % 0xFFFF == (finish(ones_sum(header)) + error) % 0xFFFF


@given(st.from_type(Packet).filter(lambda packet: isinstance(packet, Segment)), st.data())
def test_setting_a_field_to_what_it_is_changes_no_octet(segment: Segment, data: st.DataObject) -> None:
    names = ["source", "destination", "ttl", "traffic_class", "identification", "source_port",
             "destination_port", "seq", "ack", "flags", "window", "urgent", "options"]  # fmt: skip
    same = {name: getattr(segment, name) for name in data.draw(st.lists(st.sampled_from(names)))}

    assert segment.replace(**same).raw == segment.raw


@given(st.from_type(Packet).filter(lambda packet: isinstance(packet, Segment)), st.data())
def test_hostile_segments_can_be_changed_too(segment: Segment, data: st.DataObject) -> None:
    changes = draw_changes(segment, data)
    wrong_before = (segment.checksum - right_checksum(segment)) % 0xFFFF

    copy = segment.replace(**changes)

    assert decode(bytes(copy)) == copy
    assert copy.trailer == segment.trailer
    kept = 0 if "payload" in changes else wrong_before
    assert (copy.checksum - right_checksum(copy)) % 0xFFFF == kept


@given(st.from_type(Segment), st.integers(0, 0xFFFF), st.integers(0, 15), st.integers(0, 0xFFFF))
def test_derived_fields_are_what_the_caller_says(
    segment: Segment, checksum: int, data_offset: int, length: int
) -> None:
    copy = segment.replace(checksum=checksum, data_offset=data_offset, ip_length=length)

    assert copy.checksum == checksum
    assert copy.raw[copy.transport + 12] >> 4 == data_offset
    assert int.from_bytes(copy.raw[2:4] if copy.version == 4 else copy.raw[4:6], "big") == length
    assert copy.ip_checksum_is_right()
    assert copy.payload == segment.payload
    # Lengths that are worked out again are right again.
    again = copy.replace(seq=5, options=(), payload=b"new")
    assert again.checksum_is_right()
    assert again.ip_checksum_is_right()
    assert isinstance(decode(bytes(again)), Segment)


def test_wrong_data_offset_does_not_make_the_checksum_wrong() -> None:
    copy = Segment.build("192.0.2.1", "192.0.2.2", 1, 2, payload=b"x" * 40).replace(data_offset=15)
    again = decode(bytes(copy))

    assert isinstance(again, Segment)
    assert again.checksum_is_right()
    assert len(again.option_block) == 40
    with pytest.raises(WireError, match="data offset of 0"):
        decode(bytes(copy.replace(data_offset=0)))


def test_checksum_ffff_that_is_right_stays_as_it_is() -> None:
    # A sender that writes 0xffff for 0x0000 (RFC 1624 §3): equal, and not ours to touch.
    segment = Segment.build("192.0.2.1", "192.0.2.2", 1, 2)
    zero = segment.replace(window=(segment.window + segment.checksum) % 0xFFFF)
    assert zero.checksum == 0
    ffff = zero.replace(checksum=0xFFFF)

    assert ffff.checksum_is_right()
    assert ffff.replace(ttl=3, window=ffff.window).checksum == 0xFFFF
    assert ffff.replace(window=ffff.window + 1).checksum == zero.replace(window=ffff.window + 1).checksum


@pytest.mark.parametrize(
    "changes",
    [
        {"source_port": 65536}, {"destination_port": -1}, {"window": 65536}, {"urgent": -1}, {"ttl": 256},
        {"ttl": -1}, {"traffic_class": 256}, {"identification": 65536}, {"identification": -1},
        {"checksum": 65536}, {"data_offset": 16}, {"ip_length": 65536}, {"ip_checksum": -1},
        {"source": IPv6Address("::1")}, {"destination": IPv6Address("::1")}, {"payload": bytes(65516)},
        {"options": [MaximumSegmentSize(1)] * 11}, {"options": [WindowScale(300)]},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    segment = Segment.build("192.0.2.1", "192.0.2.2", 1, 2)

    with pytest.raises(LocalProtocolError):
        segment.replace(**changes)


def test_ipv6_has_other_limits() -> None:
    segment = Segment.build("::1", "::2", 1, 2)

    assert len(segment.replace(payload=bytes(65515))) == 65575
    with pytest.raises(LocalProtocolError, match="at most 65575"):
        segment.replace(payload=bytes(65516))
    with pytest.raises(LocalProtocolError, match="no checksum"):
        segment.replace(ip_checksum=1)
    with pytest.raises(LocalProtocolError, match="0 to 1048575"):
        segment.replace(identification=1 << 20)
    with pytest.raises(LocalProtocolError, match="not an IPv6 address"):
        segment.replace(source=IPv4Address("192.0.2.1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl": 256},
        {"window": -1},
        {"identification": 1 << 16},
        {"payload": bytes(65516)},
        {"source_port": -1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_cannot_be_built_is_refused(changes: dict[str, Any]) -> None:
    arguments = {"source_port": 1, "destination_port": 2} | changes
    with pytest.raises(LocalProtocolError):
        Segment.build("192.0.2.1", "192.0.2.2", **arguments)


def test_two_families_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="two address families"):
        Segment.build("192.0.2.1", "::1", 1, 2)


# -- options ----------------------------------------------------------------------------------------------


@given(st.from_type(Segment), st.sampled_from((MptcpOption, Timestamps, NoOperation, TcpOption)))
def test_without_options_is_what_decoding_leaves(segment: Segment, form: type[TcpOption]) -> None:
    kept = [option for option in segment.options if not isinstance(option, form)]

    stripped = segment.without_options(form)

    if len(kept) == len(segment.options):
        assert stripped is segment
        return
    assert stripped.option_block == encode_options(kept)
    assert stripped.payload == segment.payload
    assert stripped.checksum == right_checksum(stripped)
    assert stripped.ip_checksum_is_right()
    assert decode(bytes(stripped)) == stripped


def test_stripping_a_data_segment() -> None:
    dss = Dss(data_ack=1, dsn=2, subflow_sequence=3, length=4, checksum=5)
    clocked = (NoOperation(), NoOperation(), Timestamps(1, 2))
    segment = Segment.build("::1", "::2", 1, 2, options=(*clocked, dss), payload=b"data")

    assert segment.without_options(MptcpOption).raw == segment.with_options(clocked).raw
    assert segment.without_options(Dss, Timestamps).options == (NoOperation(), NoOperation()) * 2


def test_option_finds_the_first_of_its_form() -> None:
    options = (NoOperation(), Timestamps(1, 2), Timestamps(3, 4), NoOperation())
    segment = Segment.build("::1", "::2", 1, 2, options=options)

    for _ in range(2):  # before and after the options were decoded
        assert segment.option(Timestamps) == Timestamps(1, 2)
        assert segment.option(Sack) is None
        assert segment.option(MptcpOption) is None
        assert len(segment.options) == 6


@given(st.from_type(Segment), st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)))
def test_option_block_is_taken_as_it_is(segment: Segment, block: bytes) -> None:
    copy = segment.with_option_block(block)

    assert copy.option_block == block
    assert copy.payload == segment.payload
    assert copy.checksum == right_checksum(copy)


@pytest.mark.parametrize("size", [1, 39, 41, 44])
def test_option_block_of_no_whole_words_is_refused(size: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"option block of {size} octets"):
        decode(SYN_V4).with_option_block(bytes(size))  # type: ignore[attr-defined]


def test_room_for_options() -> None:
    segment = Segment.build("::1", "::2", 1, 2)

    assert segment.has_room_for([MaximumSegmentSize(1)] * 10)
    assert not segment.has_room_for([*[MaximumSegmentSize(1)] * 9, Sack(((1, 2),))])


# -- values -----------------------------------------------------------------------------------------------


def test_equality_is_of_octets_and_kind() -> None:
    segment = decode(SYN_V4)

    assert segment == decode(SYN_V4)
    assert segment != Packet(SYN_V4)
    assert segment != SYN_V4
    assert len({segment, decode(SYN_V4)}) == 1
    assert (len(segment), bytes(segment)) == (len(SYN_V4), SYN_V4)


def test_it_survives_pickling() -> None:
    segment = decode(SYN_V4)
    again = pickle.loads(pickle.dumps(segment))

    assert again == segment
    assert again.options == segment.options  # type: ignore[attr-defined]


def test_repr_names_the_ends() -> None:
    assert repr(decode(SYN_V4)) == (
        "<Segment 192.0.2.1.32768 > 198.51.100.2.80 flags 0x002 seq 16909060 ack 0 length 0>"
    )


def test_numbers_are_of_the_types_that_wrap() -> None:
    segment = Segment.build("::1", "::2", 1, 2, seq=0xFFFFFFFF, ack=1 << 32, payload=b"xy", flags=RST | URG)

    assert type(segment.seq) is type(segment.ack) is type(segment.next_seq) is Seq32
    assert segment.next_seq == 1
    assert segment.ack == 0
    assert segment.replace(seq=segment.seq + 2).seq == 1
