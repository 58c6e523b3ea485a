from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.endpoint.icmp import too_big
from mbtest.errors import LocalProtocolError
from mbtest.middlebox import icmp_error, quoted
from mbtest.middlebox.bindings import endpoint
from mbtest.middlebox.icmp import ROUTER as DUMMY
from mbtest.middlebox.icmp import Complaint
from mbtest.wire import Packet, Segment, decode
from mbtest.wire.checksum import finish, ones_sum
from tests.middlebox.bench import CLIENT, segment

VERSIONS = st.sampled_from((4, 6))
ROUTER = {4: "198.51.100.9", 6: "2001:db8:9::9"}


def error(about: Segment, octets: int, kind: int | None = None) -> Packet:
    """Return an ICMP error from a router on the way; octets: of the quoted transport header."""
    quote = about.raw[: about.transport + octets]
    source, destination = ip_address(ROUTER[about.version]), about.source
    v4 = about.version == 4
    message = bytearray(bytes((kind or (3 if v4 else 1), 1, 0, 0)) + bytes(4) + quote)
    pseudo = b"" if v4 else source.packed + destination.packed
    total = ones_sum(message) + ones_sum(pseudo) + (0 if v4 else len(message) + 58)
    message[2:4] = finish(total).to_bytes(2, "big")
    if v4:
        header = bytearray.fromhex("4500000000000000400100000000000000000000")
        header[2:4] = (20 + len(message)).to_bytes(2, "big")
        header[12:20] = source.packed + destination.packed
        header[10:12] = finish(ones_sum(header)).to_bytes(2, "big")
    else:
        header = bytearray.fromhex("60000000") + len(message).to_bytes(2, "big") + bytes((58, 64))
        header += source.packed + destination.packed
    return decode(bytes(header + message))


def checksums_are_right(packet: Packet) -> bool:
    message = packet.raw[packet.transport : packet.end]
    if packet.version == 4:
        quote = message[8:28]
        return all(ones_sum(part) == 0 for part in (packet.raw[:20], message, quote))
    return (ones_sum(packet.raw[8:40]) + ones_sum(message) + len(message) + 58) % 65535 == 0


@given(VERSIONS, st.sampled_from((8, 12, 20, 24)), st.integers(0, 2**32 - 1))
def test_the_quoted_segment_is_read(version: int, octets: int, seq: int) -> None:
    about = segment(seq, b"data", version=version)
    quote = quoted(error(about, octets))
    assert quote is not None
    assert (quote.source, quote.destination) == about.flow
    assert quote.seq == seq


@given(VERSIONS, st.sampled_from((8, 12, 20, 24)), st.integers(1, 65535), st.integers(0, 2**32 - 1))
def test_a_rewritten_error_is_the_error_about_the_rewritten_segment(
    version: int, octets: int, port: int, seq: int
) -> None:
    inside = ip_address("10.1.2.3" if version == 4 else "fd00::5")
    about = segment(77, b"data", version=version)
    original = error(about, octets)
    assert checksums_are_right(original)
    quote = quoted(original)
    assert quote is not None
    rewritten = quote.rewritten(source=endpoint(inside, port), seq=seq, recipient=inside)
    assert checksums_are_right(rewritten)
    assert rewritten == error(about.replace(source=inside, source_port=port, seq=seq), octets)


@given(VERSIONS)
def test_the_other_end_and_the_reporter_can_be_rewritten(version: int) -> None:
    outside = ip_address("198.51.100.77" if version == 4 else "2001:db8:ffff::77")
    quote = quoted(error(segment(version=version), 8))
    assert quote is not None
    rewritten = quote.rewritten(destination=endpoint(outside, 9), reporter=outside)
    assert checksums_are_right(rewritten)
    assert rewritten.source == outside
    again = quoted(rewritten)
    assert again is not None
    assert again.destination == endpoint(outside, 9)
    assert again.source == endpoint(ip_address(CLIENT[version]), 40000)


@pytest.mark.parametrize("version", [4, 6])
def test_what_quotes_no_segment_is_told_apart(version: int) -> None:
    about = segment(version=version)
    whole = error(about, 20)
    assert quoted(about) is None
    assert quoted(error(about, 7)) is None
    assert quoted(error(about, 20, kind=8 if version == 4 else 128)) is None
    at = whole.transport + 8
    other_protocol = bytearray(whole.raw)
    other_protocol[at + (9 if version == 4 else 6)] = 17
    assert quoted(decode(bytes(other_protocol))) is None
    other_version = bytearray(whole.raw)
    other_version[at] ^= 0x20
    assert quoted(decode(bytes(other_version))) is None


@given(st.binary(max_size=60), VERSIONS)
def test_any_octets_behind_an_icmp_header_are_read_or_refused(junk: bytes, version: int) -> None:
    whole = error(segment(version=version), 0)
    raw = bytearray(whole.raw[: whole.transport + 8] + junk)
    at, length = (2, len(raw)) if version == 4 else (4, len(raw) - 40)
    raw[at : at + 2] = length.to_bytes(2, "big")
    quote = quoted(decode(bytes(raw)))
    if quote is not None:
        rewritten = quote.rewritten(source=quote.destination, destination=quote.source, seq=1)
        assert len(rewritten) == len(raw)


COMPLAINTS: list[tuple[Complaint, int, tuple[int, int]]] = [
    ("net-unreachable", 4, (3, 0)),
    ("host-unreachable", 4, (3, 1)),
    ("protocol-unreachable", 4, (3, 2)),
    ("port-unreachable", 4, (3, 3)),
    ("too-big", 4, (3, 4)),
    ("source-quench", 4, (4, 0)),
    ("prohibited", 4, (3, 13)),
    ("time-exceeded", 4, (11, 0)),
    ("net-unreachable", 6, (1, 0)),
    ("host-unreachable", 6, (1, 3)),
    ("protocol-unreachable", 6, (4, 1)),
    ("port-unreachable", 6, (1, 4)),
    ("too-big", 6, (2, 0)),
    ("prohibited", 6, (1, 1)),
    ("time-exceeded", 6, (3, 0)),
]


@pytest.mark.parametrize(("complaint", "version", "numbers"), COMPLAINTS)
def test_an_error_tells_the_sender_what_became_of_its_segment(
    complaint: Complaint, version: int, numbers: tuple[int, int]
) -> None:
    about = segment(77, b"data", version=version)
    made = icmp_error(about, complaint)
    assert checksums_are_right(made)
    assert made.content[:2] == bytes(numbers)
    assert (made.source, made.destination) == (DUMMY[version], about.source)
    assert made.content[8:] == about.raw


@given(VERSIONS, st.sampled_from((None, 8, 20)), st.integers(0, 2**32 - 1))
def test_an_error_that_was_made_can_be_read_and_rewritten(version: int, octets: int | None, seq: int) -> None:
    about = segment(seq, b"data", version=version)
    reporter = ip_address(ROUTER[version])
    quote = quoted(icmp_error(about, "time-exceeded", reporter=reporter, quoted_octets=octets))
    assert quote is not None
    assert (quote.source, quote.destination, quote.seq) == (*about.flow, seq)
    assert checksums_are_right(quote.rewritten(seq=seq + 1))


@given(VERSIONS, st.integers(1280, 1499), st.sampled_from((None, 8)))
def test_too_big_names_the_size_that_the_next_hop_takes(version: int, mtu: int, octets: int | None) -> None:
    about = segment(5, bytes(1460), version=version)
    read = too_big(icmp_error(about, "too-big", mtu=mtu, quoted_octets=octets))
    assert read is not None
    assert (read.flow, read.sequence, read.mtu) == (about.flow, 5, mtu)


@given(VERSIONS, st.integers(0, 1460))
def test_an_error_is_no_longer_than_routers_may_make_it(version: int, size: int) -> None:
    about = segment(5, bytes(size), version=version)
    made = icmp_error(about, "prohibited")
    overhead = 28 if version == 4 else 48
    assert len(made) == min(overhead + len(about), 576 if version == 4 else 1280)


def test_ipv6_never_had_a_source_quench() -> None:
    with pytest.raises(LocalProtocolError, match=r"^ICMPv6 has no source-quench$"):
        icmp_error(segment(version=6), "source-quench")
