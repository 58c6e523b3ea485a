from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.wire import Packet, Segment, WireError, decode
from mbtest.wire.ip import FRAGMENT, ICMPV6, NO_NEXT, TCP, UDP, address, final_destination, locate


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


# RFC 791: version and length, TOS, total length | ID, DF | TTL, protocol, checksum | addresses
V4 = hexed("45 b8 0018 1234 4000 40 11 3bb2 c0000201 c6336402 deadbeef")
V6_ADDRESSES = hexed("20010db8000000000000000000000001 20010db8000000000000000000000002")


def ipv6(first: int, content: str) -> bytes:
    body = hexed(content)
    return hexed("612abcde") + len(body).to_bytes(2, "big") + bytes((first, 64)) + V6_ADDRESSES + body


def test_ipv4_header_by_hand() -> None:
    packet = decode(V4)

    assert type(packet) is Packet
    assert (packet.version, packet.protocol, packet.transport, packet.end) == (4, UDP, 20, 24)
    assert (packet.source, packet.destination) == (IPv4Address("192.0.2.1"), IPv4Address("198.51.100.2"))
    assert (packet.source_octets, packet.destination_octets) == (hexed("c0000201"), hexed("c6336402"))
    assert (packet.ttl, packet.traffic_class, packet.identification) == (64, 0xB8, 0x1234)
    assert (packet.ip_options, packet.content, packet.trailer) == (b"", hexed("deadbeef"), b"")
    assert packet.ip_checksum == 0x3BB2
    assert packet.ip_checksum_is_right()
    assert packet.extension_headers == ()
    assert (bytes(packet), len(packet)) == (V4, 24)
    assert repr(packet) == "<Packet 192.0.2.1 > 198.51.100.2 protocol 17>"


def test_ipv4_options_and_trailer() -> None:
    raw = hexed("46 00 0019 0000 0000 40 11 0000 c0000201 c6336402 94040000 07") + b"pad"
    packet = decode(raw)

    assert (packet.ip_options, packet.content, packet.trailer) == (hexed("94040000"), b"\7", b"pad")
    assert not packet.ip_checksum_is_right()


def test_ipv6_header_by_hand() -> None:
    packet = decode(ipv6(ICMPV6, "8000"))

    assert (packet.version, packet.protocol, packet.transport, packet.end) == (6, ICMPV6, 40, 42)
    assert packet.source == IPv6Address("2001:db8::1")
    assert packet.destination == IPv6Address("2001:db8::2")
    assert (packet.ttl, packet.traffic_class, packet.identification) == (64, 0x12, 0xABCDE)
    assert packet.ip_checksum is None
    assert packet.ip_checksum_is_right()


@pytest.mark.parametrize(
    ("first", "content", "protocol", "headers"),
    [
        (0, "11 00 05020000 0100" + "aa", UDP, [(0, 8)]),
        (60, "11 01" + "00" * 14 + "aa", UDP, [(60, 16)]),
        # RFC 4302 §2.2: a length of 4 is 6 words.
        (51, "11 04 0000" + "00" * 20 + "aa", UDP, [(51, 24)]),
        (0, "2b 00 01040000 0000 3c 00 0000 00000000 11 00 01040000 0000 aa", UDP,
         [(0, 8), (43, 8), (60, 8)]),
        # RFC 6946: an atomic fragment is a whole packet.
        (44, "11 00 0000 12345678 aa", UDP, [(44, 8)]),
        (44, "11 00 0006 12345678 aa", UDP, [(44, 8)]),
        (44, "06 00 0001 12345678 aa", FRAGMENT, []),
        (44, "06 00 0008 12345678 aa", FRAGMENT, []),
        (0, "2c 00 01040000 0000 06 00 0101 12345678", FRAGMENT, [(0, 8)]),
        (NO_NEXT, "", NO_NEXT, []),
        (0, "3b 00 01040000 0000", NO_NEXT, [(0, 8)]),
        # What follows an encrypted header cannot be known.
        (50, "00000001 00000001 0000", 50, []),
    ],
)  # fmt: skip
def test_ipv6_extension_headers(
    first: int, content: str, protocol: int, headers: list[tuple[int, int]]
) -> None:
    packet = decode(ipv6(first, content))

    assert packet.protocol == protocol
    assert [(kind, len(octets)) for kind, octets in packet.extension_headers] == headers
    assert packet.transport == 40 + sum(length for _, length in headers)
    assert b"".join(octets for _, octets in packet.extension_headers) == packet.ip_options


@pytest.mark.parametrize("fragment", ["2000", "0001", "2001", "1fff"])
def test_ipv4_fragment_is_no_segment(fragment: str) -> None:
    raw = hexed(f"45 00 0028 0000 {fragment} 40 06 0000 c0000201 c6336402") + bytes(20)

    assert decode(raw).protocol == FRAGMENT
    assert type(decode(raw)) is Packet


@pytest.mark.parametrize(
    ("octets", "offset", "reason"),
    [
        ("", 0, "no octets"),
        ("55", 0, "IP version 5"),
        ("45", 1, "cut off after 1"),
        ("44" + V4.hex()[2:], 0, "header length of 16"),
        ("45b80013" + V4.hex()[8:], 2, "total length of 19 octets is less"),
        ("45b80019" + V4.hex()[8:], 2, "total length of 25 octets, only 24"),
        ("4fb80018" + V4.hex()[8:], 2, "total length of 24 octets is less than the header's 60"),
        ("60", 1, "IPv6 header of 40 octets cut off after 1"),
        (ipv6(6, "").hex()[:8] + "0001" + ipv6(6, "").hex()[12:], 4, "41 octets, only 40"),
        (ipv6(0, "06 00 0000").hex(), 40, "extension header 0 cut off"),
        (ipv6(43, "06 01" + "00" * 6).hex(), 41, "extension header 43 runs past"),
        (ipv6(0, "3c 00 0104 0000 0000 06").hex(), 48, "extension header 60 cut off"),
    ],
)
def test_contradictions_are_refused(octets: str, offset: int, reason: str) -> None:
    with pytest.raises(WireError, match=reason) as refused:
        locate(hexed(octets))

    assert refused.value.offset == offset


@given(st.binary(max_size=120))
def test_any_octets_are_a_packet_or_a_wire_error(raw: bytes) -> None:
    try:
        packet = Packet(raw)
    except WireError as error:
        offset = error.offset
    else:
        offset = 0
        assert bytes(packet) == raw
        assert packet.transport <= packet.end <= len(raw)
    assert 0 <= offset <= len(raw)


ROUTE = V6_ADDRESSES.hex()


@pytest.mark.parametrize(
    ("header", "last"),
    [
        ("06 04 00 01 00000000" + ROUTE, "2001:db8::2"),  # RFC 5095: the last in the list
        ("06 04 00 00 00000000" + ROUTE, "::9"),  # nothing left: we are there
        ("06 02 02 01 00000000" + ROUTE[:32], "2001:db8::1"),  # RFC 6275 §6.4
        ("06 04 04 01 01000000" + ROUTE, "2001:db8::1"),  # RFC 8754 §2: the list is in reverse
        ("06 04 fe 01 01000000" + ROUTE, "::9"),  # a type that nobody knows
        ("06 00 00 01 00000000", "::9"),  # no list at all
    ],
)
def test_pseudo_header_has_the_final_destination(header: str, last: str) -> None:
    built = Segment.build("::8", "::9", 1, 2, payload=b"data")
    segment = built.replace(extension_headers=[(43, hexed(header))])

    assert address(final_destination(segment.raw, segment.transport)) == IPv6Address(last)
    assert segment.checksum_is_right()
    assert segment.replace(payload=b"other").checksum_is_right()
    assert segment.replace(destination=IPv6Address("::7"), source=IPv6Address("::6")).checksum_is_right()
    assert segment.replace(extension_headers=()).raw == built.raw


def test_packet_with_other_addresses() -> None:
    packet = decode(V4).with_addresses(source=IPv4Address("203.0.113.9"))

    assert packet.source == IPv4Address("203.0.113.9")
    assert packet.destination == IPv4Address("198.51.100.2")
    assert packet.ip_checksum_is_right()
    assert packet.content == decode(V4).content
    with pytest.raises(LocalProtocolError, match="not an IPv4 address"):
        packet.with_addresses(destination=IPv6Address("::1"))


def test_segment_with_other_addresses_has_a_right_checksum() -> None:
    segment = Segment.build("192.0.2.1", "192.0.2.2", 1, 2).with_addresses(IPv4Address("192.0.2.3"))

    assert str(segment.source) == "192.0.2.3"
    assert segment.checksum_is_right()


@given(st.from_type(Segment))
def test_extension_headers_survive(segment: Segment) -> None:
    if segment.version == 6:
        assert segment.replace(extension_headers=segment.extension_headers) == segment
    else:
        assert segment.replace(ip_options=segment.ip_options) == segment


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(TCP, bytes(8))], "no IPv6 extension header of kind 6"),
        ([(0, bytes(7))], "7 octets are no"),
        ([(0, bytes(9))], "9 octets are no"),
        ([(0, b"\0\1" + bytes(6))], "8 octets are no"),
        ([(44, hexed("0000 0001 00000000"))], "do not lead to a whole TCP segment"),
    ],
)
def test_extension_headers_that_are_none(headers: list[tuple[int, bytes]], reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        Segment.build("::1", "::2", 1, 2).replace(extension_headers=headers)


def test_ip_options_of_the_other_version_or_too_many() -> None:
    v4, v6 = Segment.build("192.0.2.1", "192.0.2.2", 1, 2), Segment.build("::1", "::2", 1, 2)

    with pytest.raises(LocalProtocolError, match="take 44 octets"):
        v4.replace(ip_options=bytes(41))
    with pytest.raises(LocalProtocolError, match="IPv4 has options"):
        v6.replace(ip_options=b"\1")
    with pytest.raises(LocalProtocolError, match="IPv4 has options"):
        v4.replace(extension_headers=())
    assert v4.replace(ip_options=b"\1").ip_options == hexed("01000000")
