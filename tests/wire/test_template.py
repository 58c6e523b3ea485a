from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.wire.mptcp import Dss
from mbtest.wire.options import MaximumSegmentSize, NoOperation, Sack, TcpOption, Timestamps
from mbtest.wire.packet import ACK, Segment
from mbtest.wire.template import Template

PORTS = st.integers(0, 0xFFFF)
NUMBERS = st.integers(0, 0xFFFF_FFFF)
ADDRESSES = st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)) | st.tuples(
    st.ip_addresses(v=6), st.ip_addresses(v=6)
)
OPTIONS: st.SearchStrategy[list[TcpOption]] = st.lists(
    st.sampled_from((
        NoOperation(), MaximumSegmentSize(1460), Timestamps(1, 0xFFFF_FFFF), Sack(((1, 2),)), Dss(5),
    )),
    max_size=3,
)  # fmt: skip


@given(
    ADDRESSES, PORTS, PORTS, NUMBERS, NUMBERS, st.integers(0, 0xFFF), PORTS, OPTIONS, st.binary(max_size=99)
)
def test_a_template_builds_what_segment_build_builds(
    addresses: tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address],
    source_port: int,
    destination_port: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: list[TcpOption],
    payload: bytes,
) -> None:
    template = Template(*addresses, source_port, destination_port)
    segment = template.build(seq, ack, flags, window, options, payload)
    assert segment == Segment.build(
        *addresses,
        source_port,
        destination_port,
        seq=seq,
        ack=ack,
        flags=flags,
        window=window,
        options=options,
        payload=payload,
    )
    assert segment.checksum_is_right()
    assert (segment.options, segment.payload) == (Segment(segment.raw).options, payload)


def test_segments_of_one_template_do_not_share_anything() -> None:
    template = Template(ip_address("192.0.2.1"), ip_address("192.0.2.2"), 1, 2)
    first = template.build(1, 2, ACK, 3, (), b"one")
    second = template.build(4, 5, ACK, 6, (MaximumSegmentSize(9),), b"another")
    assert (first.payload, second.payload) == (b"one", b"another")
    assert first == template.build(1, 2, ACK, 3, (), b"one")


@pytest.mark.parametrize(("version", "most"), [(4, 65_535 - 40), (6, 65_535 - 20)])
def test_a_payload_that_no_packet_holds_is_refused(version: int, most: int) -> None:
    host = {4: "192.0.2.1", 6: "2001:db8::1"}[version]
    template = Template(ip_address(host), ip_address(host), 1, 2)
    assert template.build(0, 0, ACK, 0, (), bytes(most)).payload_length == most
    with pytest.raises(LocalProtocolError, match="octets; at most"):
        template.build(0, 0, ACK, 0, (), bytes(most + 1))


def test_what_cannot_be_is_refused() -> None:
    v4, v6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
    with pytest.raises(LocalProtocolError, match="two address families"):
        Template(v4, v6, 1, 2)
    with pytest.raises(LocalProtocolError, match="port"):
        Template(v4, v4, 1, 65_536)
    with pytest.raises(LocalProtocolError, match="range"):
        Template(v4, v4, 1, 2).build(0, 0, ACK, 65_536)
    with pytest.raises(LocalProtocolError, match="range"):
        Template(v4, v4, 1, 2).build(1 << 32, 0, ACK, 0)
