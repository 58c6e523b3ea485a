import importlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, TCPOptions

from mbtest.wire import AddAddr, Dss, MptcpOption, Segment, TcpOption, UnknownMptcp, decode, scapy_layer
from mbtest.wire.scapy_layer import (
    MPTCP,
    MPTCP_ADD_ADDR,
    MPTCP_CAPABLE,
    MPTCP_DSS,
    MPTCP_JOIN_SYN,
    MPTCP_TCPRST,
)


def shown_by_scapy(option: TcpOption) -> Any:
    """What scapy has in the place of the option, of a segment of ours that carries it."""
    segment = Segment.build("192.0.2.1", "192.0.2.2", 1, 2, options=[option])
    return IP(segment.raw)[TCP].options[0]


def expected_fields(option: MptcpOption) -> dict[str, Any]:
    fields = {name: getattr(option, name) for name in option.__struct_fields__}
    if isinstance(option, UnknownMptcp):
        return {
            "subtype": option.content[0] >> 4,
            "low": option.content[0] & 15,
            "content": option.content[1:],
        }
    if isinstance(option, AddAddr):
        fields |= {"address": str(option.address), "hmac": option.hmac or b""}
    if isinstance(option, Dss) and not option.has_mapping:
        fields |= {"subflow_sequence": None, "length": None}
    return fields


def assert_same_both_ways(option: MptcpOption) -> None:
    name, value = shown_by_scapy(option)
    assert name == "MPTCP"
    assert value.subtype == option.subtype
    assert {field: value.getfieldval(field) for field in expected_fields(option)} == expected_fields(option)
    assert value.haslayer("Padding") == 0

    crafted = TCP(sport=1, dport=2, options=[("MPTCP", type(value)(**value.fields))])
    segment = decode(bytes(IP(src="192.0.2.1", dst="192.0.2.2") / crafted))
    assert isinstance(segment, Segment)
    assert segment.checksum_is_right()
    assert segment.options[0] == option


def test_vector_both_ways(mptcp_vector: tuple[bytes, MptcpOption]) -> None:
    octets, option = mptcp_vector
    if len(octets) == 2:
        assert shown_by_scapy(option) == ("MPTCP", b"")
    else:
        assert_same_both_ways(option)


@settings(max_examples=200)
@given(st.from_type(MptcpOption).filter(lambda option: len(option.encode()) > 2))
def test_every_option_both_ways(option: MptcpOption) -> None:
    assert_same_both_ways(option)


def test_dissected_segment_is_rebuilt_as_it_was(option_vectors: list[tuple[bytes, TcpOption]]) -> None:
    for _, option in option_vectors:
        raw = Segment.build("192.0.2.1", "192.0.2.2", 1, 2, options=[option], payload=b"data").raw
        packet = IP(raw)
        for layer in (packet, packet[TCP]):
            layer.clear_cache()
        for name, value in packet[TCP].options:
            if name == "MPTCP" and isinstance(value, MPTCP):
                value.clear_cache()
        assert bytes(packet) == raw


def test_crafting_as_in_the_documentation() -> None:
    packet = TCP(flags="S", options=[("MSS", 1460), ("MPTCP", MPTCP_CAPABLE(flags="HA"))])

    assert bytes(packet)[20:].hex() == "020405b4" + "1e040181"


@pytest.mark.parametrize(
    ("option", "octets"),
    [
        (MPTCP_CAPABLE(), "1e040101"),
        (MPTCP_CAPABLE(sender_key=1, receiver_key=2, data_length=3), "1e160101" + "0" * 15 + "1" + "0" * 15
         + "2" + "0003"),
        (MPTCP_JOIN_SYN(flags="B", address_id=1, token=2, nonce=3), "1e0c1101" + "00000002" + "00000003"),
        (MPTCP_DSS(data_ack=5), "1e082001" + "00000005"),
        (MPTCP_DSS(data_ack=1 << 32), "1e0c2003" + "0000000100000000"),
        (MPTCP_DSS(data_ack=5, data_ack_64=1), "1e0c2003" + "0000000000000005"),
        (MPTCP_DSS(dsn=6, length=7), "1e0e2004" + "00000006" + "00000000" + "0007"),
        (MPTCP_DSS(dsn=6, dsn_64=1, subflow_sequence=1, length=7, checksum=8, data_fin=1),
         "1e14201c" + "0000000000000006" + "00000001" + "0007" + "0008"),
        (MPTCP_ADD_ADDR(address="2001:db8::1", port=80, flags="E"), "1e163100" + "20010db8" + "0" * 23 + "1"
         + "0050"),
        (MPTCP_TCPRST(reason="middlebox interference", flags="T"), "1e048106"),
        (MPTCP(subtype=9, low=1, content=b"\2"), "1e049102"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_flags_and_widths_are_worked_out(option: Any, octets: str) -> None:
    built = bytes(TCP(options=[("MPTCP", option)]))[20:]

    assert built[: len(octets) // 2].hex() == octets
    assert not any(built[len(octets) // 2 :])


def test_it_reads_well() -> None:
    raw = Segment.build("192.0.2.1", "192.0.2.2", 1, 2, options=[Dss(data_ack=5, data_ack_64=True)]).raw
    shown = IP(raw).show(dump=True)

    assert "<MPTCP_DSS  subtype=DSS" in shown
    assert "data_ack=5" in shown
    assert "sender_key=0x00000000000000ff" in repr(MPTCP_CAPABLE(sender_key=255))


def test_scapys_other_options_are_untouched() -> None:
    options = [("MSS", 1460), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (1, 2)),
               ("EOL", None)]  # fmt: skip
    packet = TCP(bytes(TCP(options=options)))

    assert packet.options[:5] == options[:5]


def test_octets_can_be_given_instead_of_a_packet() -> None:
    assert bytes(TCP(options=[("MPTCP", b"\x51")]))[20:].hex() == "1e035100"


def test_loading_it_twice_is_harmless() -> None:
    before = bytes(TCP(options=[("MPTCP", MPTCP_CAPABLE())]))
    again = importlib.reload(scapy_layer)

    assert bytes(TCP(options=[("MPTCP", again.MPTCP_CAPABLE())])) == before
    name, value = TCP(before).options[0]
    assert (name, type(value).__name__, value.version) == ("MPTCP", "MPTCP_CAPABLE", 1)
    assert TCPOptions[0][30] == ("MPTCP", None)
    assert bytes(TCP(options=[("MPTCP", MPTCP_CAPABLE())])) == before, "classes of the first load"


def test_the_codec_does_not_load_scapy() -> None:
    program = "import sys, mbtest.wire, mbtest.wire.describe; sys.exit('scapy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
