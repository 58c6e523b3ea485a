"""What Wireshark reads in packets that the codec wrote, field by field, of which it knows nothing."""

import json
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from mbtest.wire import (
    ACK,
    PSH,
    SYN,
    AddAddr,
    Authentication,
    Dss,
    Experimental,
    FastOpen,
    MaximumSegmentSize,
    Md5Signature,
    MpCapable,
    MpExperimental,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcprst,
    NoOperation,
    RemoveAddr,
    Sack,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    UserTimeout,
    WindowScale,
)
from mbtest.wire.checksum import dss_checksum
from mbtest.wire.keys import add_addr_hmac, initial_data_sequence_number, join_hmac, token

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed: apt-get install tshark"
)

LINKTYPE_RAW = 101
Fields = dict[str, list[Any]]

# Of each field that is compared, how its text reads.
NUMBER: Callable[[str], Any] = lambda text: int(text, 0)  # noqa: E731
OCTETS: Callable[[str], Any] = lambda text: text.replace(":", "").lower()  # noqa: E731
READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("ip.src", "ip.dst", "ipv6.src", "ipv6.dst"), str),
    **dict.fromkeys(
        ("ip.ttl", "ip.id", "ip.dsfield", "ip.checksum.status", "ipv6.hlim", "ipv6.tclass", "ipv6.flow"),
        NUMBER,
    ),
    **{
        f"tcp.{name}": NUMBER
        for name in ("srcport", "dstport", "seq_raw", "ack_raw", "flags", "window_size_value", "checksum",
                     "checksum.status", "urgent_pointer", "hdr_len", "len")
    },
    "tcp.payload": OCTETS,
    **{
        f"tcp.options.{name}": NUMBER
        for name in ("mss_val", "wscale.shift", "sack.count", "sack_le", "sack_re", "timestamp.tsval",
                     "timestamp.tsecr", "user_to_granularity", "user_to_val", "experimental.exid",
                     "ao.keyid", "ao.rnextkeyid")
    },
    **{f"tcp.options.{name}": OCTETS for name in ("md5.digest", "tfo.cookie", "ao.mac")},
    **{
        f"tcp.options.mptcp.{name}": NUMBER
        for name in ("subtype", "version", "reserved", "flags", "backup.flag", "checksumreq.flags",
                     "extensibility.flag", "nomoresubflows.flag", "sha256.flag", "datafin.flag",
                     "dseqn8.flag", "dseqnpresent.flag", "dataack8.flag", "dataackpresent.flag",
                     "flag_U.flag", "flag_V.flag", "flag_W.flag", "flag_T.flag", "rst_reason", "addrid",
                     "sendkey", "recvkey", "recvtok", "sendrand", "sendtrunchmac", "addaddrtrunchmac",
                     "rawdataack", "rawdataseqno", "subflowseqno", "datalvllen", "checksum", "echo", "port")
    },
    "tcp.options.mptcp.sendhmac": OCTETS,
    **dict.fromkeys(("tcp.options.mptcp.ipv4", "tcp.options.mptcp.ipv6"), str),
    **{f"mptcp.{name}": NUMBER for name in ("expected_token", "expected_idsn")},
}  # fmt: skip


def write_pcap(path: Path, segments: Iterable[Segment]) -> None:
    """Write a capture of IP packets, a millisecond apart."""
    with path.open("wb") as file:
        file.write(struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, LINKTYPE_RAW))
        for number, segment in enumerate(segments):
            size = len(segment)
            file.write(struct.pack("!IIII", number // 1000, number % 1000 * 1000, size, size))
            file.write(bytes(segment))


def dissect(path: Path) -> list[Fields]:
    """Return what tshark reads in each packet: of each field the values, as numbers where it is one."""
    command = ["tshark", "-r", str(path), "-T", "json", "-n"]
    for preference in (
        "tcp.check_checksum:TRUE",
        "ip.check_checksum:TRUE",
        "tcp.relative_sequence_numbers:FALSE",
    ):
        command += ["-o", preference]
    for name in READERS:
        command += ["-e", name]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    return [
        {
            name: [READERS[name](text) for text in values]
            for name, values in packet["_source"]["layers"].items()
        }
        for packet in json.loads(output)
    ]


def dissected(folder: Path, segments: Sequence[Segment]) -> list[Fields]:
    write_pcap(folder / "packets.pcap", segments)
    return dissect(folder / "packets.pcap")


def present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def mptcp_fields(option: MptcpOption) -> dict[str, Any]:
    """What Wireshark should find, by the names of its fields without their prefix."""
    match option:
        case MpCapable():
            flags = option.flags
            return {
                "version": option.version,
                "flags": flags,
                "checksumreq.flags": flags >> 7,
                "extensibility.flag": flags >> 6 & 1,
                "nomoresubflows.flag": flags >> 5 & 1,
                "sha256.flag": flags & 1,
            } | present(
                sendkey=option.sender_key,
                recvkey=option.receiver_key,
                datalvllen=option.data_length,
                checksum=option.checksum,
            )
        case MpJoinSyn():
            return {
                "flags": 0x10 | option.flags,
                "backup.flag": option.flags & 1,
                "addrid": option.address_id,
                "recvtok": option.token,
                "sendrand": option.nonce,
            }
        case MpJoinSynAck():
            return {
                "flags": 0x10 | option.flags,
                "backup.flag": option.flags & 1,
                "addrid": option.address_id,
                "sendtrunchmac": option.hmac,
                "sendrand": option.nonce,
            }
        case MpJoinAck():
            return {"reserved": option.reserved, "sendhmac": option.hmac.hex()}
        case Dss():
            fields = {
                "flags": option.encode()[3],
                "datafin.flag": int(option.data_fin),
                "dseqn8.flag": int(option.dsn_64),
                "dseqnpresent.flag": int(option.has_mapping),
                "dataack8.flag": int(option.data_ack_64),
                "dataackpresent.flag": int(option.data_ack is not None),
            } | present(rawdataack=option.data_ack, rawdataseqno=option.dsn)
            if option.has_mapping:
                fields |= {"subflowseqno": option.subflow_sequence, "datalvllen": option.length}
            return fields
        case AddAddr():
            hmac = option.hmac and int.from_bytes(option.hmac, "big")
            return {
                "echo": int(option.echo),
                "addrid": option.address_id,
                f"ipv{option.address.version}": str(option.address),
            } | present(port=option.port, addaddrtrunchmac=hmac)
        case RemoveAddr():
            return {"addrid": list(option.address_ids)}
        case MpPrio():
            return {"flags": 0x50 | option.flags, "backup.flag": option.flags & 1}
        case MpFail():
            return {"reserved": option.reserved, "rawdataseqno": option.dsn}
        case MpFastclose():
            return {"reserved": option.reserved, "recvkey": option.receiver_key}
        case MpTcprst():
            letters = {f"flag_{name}.flag": option.flags >> bit & 1 for bit, name in enumerate("TWVU")}
            return {"flags": 0x80 | option.flags, "rst_reason": option.reason} | letters
    return {}  # fmt: skip


def option_fields(option: TcpOption) -> dict[str, Any]:
    match option:
        case MptcpOption():
            fields = {"subtype": option.subtype} | mptcp_fields(option)
            return {f"mptcp.{name}": value for name, value in fields.items()}
        case MaximumSegmentSize():
            return {"mss_val": option.size}
        case WindowScale():
            return {"wscale.shift": option.shift}
        case Sack():
            left, right = zip(*option.blocks, strict=True)
            return {"sack.count": len(option.blocks), "sack_le": list(left), "sack_re": list(right)}
        case Timestamps():
            return {"timestamp.tsval": option.value, "timestamp.tsecr": option.echo}
        case UserTimeout():
            return {"user_to_granularity": int(option.minutes), "user_to_val": option.timeout}
        case Md5Signature():
            return {"md5.digest": option.content.hex()}
        case Authentication(content):
            return {"ao.keyid": content[0], "ao.rnextkeyid": content[1], "ao.mac": content[2:].hex()}
        case FastOpen():
            return {"tfo.cookie": option.content.hex()} if option.content else {}
        case Experimental(_, exid, content):
            # RFC 7413 §4.1.1: the identifier that Fast Open had before it had a kind.
            return {"experimental.exid": exid} | ({"tfo.cookie": content.hex()} if exid == 0xF989 else {})
    return {}


def expected(segment: Segment) -> Fields:
    """All that tshark should print of a segment, apart from what it derives from others."""
    fields: dict[str, Any] = {
        "tcp.srcport": segment.source_port, "tcp.dstport": segment.destination_port,
        "tcp.seq_raw": int(segment.seq), "tcp.ack_raw": int(segment.ack), "tcp.flags": segment.flags,
        "tcp.window_size_value": segment.window, "tcp.checksum": segment.checksum,
        "tcp.checksum.status": 1, "tcp.urgent_pointer": segment.urgent,
        "tcp.hdr_len": 20 + len(segment.option_block), "tcp.len": segment.payload_length,
    }  # fmt: skip
    if segment.payload:
        fields["tcp.payload"] = segment.payload.hex()
    if segment.version == 4:
        fields |= {"ip.src": str(segment.source), "ip.dst": str(segment.destination),
                   "ip.ttl": segment.ttl, "ip.id": segment.identification,
                   "ip.dsfield": segment.traffic_class, "ip.checksum.status": 1}  # fmt: skip
    else:
        fields |= {"ipv6.src": str(segment.source), "ipv6.dst": str(segment.destination),
                   "ipv6.hlim": segment.ttl, "ipv6.flow": segment.identification,
                   "ipv6.tclass": segment.traffic_class}  # fmt: skip
    for option in segment.options:
        fields |= {f"tcp.options.{name}": value for name, value in option_fields(option).items()}
    return {name: value if isinstance(value, list) else [value] for name, value in fields.items()}


class Maker:
    """Makes valid options and segments of every form by chance, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.made = 0

    def bits(self, count: int) -> int:
        # Small numbers and those at the upper end are as likely as all others together.
        anything = self.random.getrandbits(count)
        return self.random.choice((anything, anything, anything & 7, (1 << count) - 1 - (anything & 7)))

    def octets(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def maybe(self, value: int) -> int | None:
        return value if self.random.random() < 0.5 else None

    def dss(self) -> Dss:
        data_ack_64, dsn_64 = self.random.random() < 0.5, self.random.random() < 0.5
        data_ack = self.maybe(self.bits(64 if data_ack_64 else 32))
        dsn = self.maybe(self.bits(64 if dsn_64 else 32))
        if dsn is None:
            return Dss(data_ack, data_ack_64=data_ack_64, dsn_64=dsn_64)
        return Dss(data_ack, dsn, self.bits(32), self.bits(16), self.maybe(self.bits(16)),
                   self.random.random() < 0.5, data_ack_64, dsn_64)  # fmt: skip

    def capable(self, parts: int) -> MpCapable:
        values = (self.bits(64), self.bits(64), self.bits(16), self.bits(16))[:parts]
        return MpCapable(self.bits(8), *values)

    def add_addr(self, size: int) -> AddAddr:
        address = ip_address(self.octets(size))
        if self.random.random() < 0.5:
            return AddAddr(self.bits(8), address, self.maybe(self.bits(16)), flags=1)
        return AddAddr(self.bits(8), address, self.maybe(self.bits(16)), self.octets(8))

    def option(self) -> TcpOption:
        makers: tuple[Callable[[], TcpOption], ...] = (
            lambda: MaximumSegmentSize(self.bits(16)),
            lambda: WindowScale(self.random.randrange(15)),
            SackPermitted,
            lambda: Sack(tuple((self.bits(32), self.bits(32)) for _ in range(self.random.randint(1, 3)))),
            lambda: Timestamps(self.bits(32), self.bits(32)),
            lambda: UserTimeout(self.random.random() < 0.5, self.bits(15)),
            lambda: Md5Signature(self.octets(16)),
            lambda: Authentication(self.octets(14)),
            FastOpen,
            lambda: FastOpen(self.octets(8)),
            lambda: Experimental(self.random.choice((253, 254)), 0xABCD, self.octets(4)),
            *(lambda parts=parts: self.capable(parts) for parts in range(5)),
            lambda: MpJoinSyn(self.bits(8), self.bits(32), self.bits(32), self.bits(4)),
            lambda: MpJoinSynAck(self.bits(8), self.bits(64), self.bits(32), self.bits(4)),
            lambda: MpJoinAck(self.octets(20), self.bits(12)),
            self.dss, self.dss, self.dss, self.dss, self.dss, self.dss,
            lambda: self.add_addr(4), lambda: self.add_addr(4),
            lambda: self.add_addr(16), lambda: self.add_addr(16),
            lambda: RemoveAddr(self.octets(self.random.randint(1, 8))),
            lambda: MpPrio(self.bits(4)),
            lambda: MpFail(self.bits(64), self.bits(12)),
            lambda: MpFastclose(self.bits(64), self.bits(12)),
            lambda: MpTcprst(self.bits(8), self.bits(4)),
            lambda: MpExperimental(self.octets(4), self.bits(4)),
        )  # fmt: skip
        return makers[self.made % len(makers)]()

    def segment(self) -> Segment:
        """A segment of a connection of its own, so that Wireshark knows nothing from before."""
        option = self.option()
        stamped = not isinstance(option, Timestamps) and len(option.encode()) <= 28
        options = [option, Timestamps(self.bits(32), self.bits(32))] if stamped else [option]
        size = self.random.choice((4, 16))
        segment = Segment.build(
            ip_address(b"\x0a" + self.octets(size - 1)), ip_address(b"\x0b" + self.octets(size - 1)),
            40000 + self.made, 39999, seq=self.bits(32), ack=self.bits(32), flags=self.bits(9) & ~0x27 | ACK,
            window=self.bits(16), options=options, urgent=self.bits(16),
            payload=self.octets(self.random.choice((0, 0, 1, 20, 999))), ttl=self.random.randint(1, 255),
            traffic_class=self.bits(8), identification=self.bits(16 if size == 4 else 20),
        )  # fmt: skip
        self.made += 1
        if self.random.random() < 0.3:
            if size == 4:
                return segment.replace(ip_options=b"\x94\x04\0\0")  # router alert, RFC 2113
            hop_by_hop = (0, bytes.fromhex("0000 0502 0000 0100"))  # router alert, RFC 2711
            return segment.replace(extension_headers=[hop_by_hop, (60, bytes.fromhex("0000 0104 00000000"))])
        return segment


def assert_read_as(segments: Sequence[Segment], found: Sequence[Fields]) -> None:
    assert len(found) == len(segments)
    for segment, fields in zip(segments, found, strict=True):
        wanted = expected(segment)
        read = {name: values for name, values in fields.items() if not name.startswith("mptcp.")}
        dss = segment.option(Dss)
        if dss is not None and "tcp.options.mptcp.checksum" in read:
            # Wireshark 4.0 stops before the checksum of a DSS: it asks for two octets more than there are.
            wanted["tcp.options.mptcp.checksum"] = [dss.checksum]
        assert read == wanted, segment.options


def test_every_option_by_hand_is_read_the_same(
    tmp_path: Path, option_vectors: list[tuple[bytes, TcpOption]]
) -> None:
    segments = [
        Segment.build("192.0.2.1", "192.0.2.2", 40000 + number, 39999, options=[option])
        for number, (_, option) in enumerate(option_vectors)
        if wireshark_reads(option)
    ]
    assert len(segments) > 50

    assert_read_as(segments, dissected(tmp_path, segments))


def wireshark_reads(option: TcpOption) -> bool:
    """Whether Wireshark has a reading of its own: not of what is in no form, nor of version 0."""
    if option.__class__.__name__.startswith("Unknown") or option == Sack(()):
        return False
    return not isinstance(option, MpCapable) or option.version == 1


def test_packets_by_chance_are_read_the_same(tmp_path: Path) -> None:
    maker = Maker(seed=8684)
    segments = [maker.segment() for _ in range(600)]

    assert_read_as(segments, dissected(tmp_path, segments))


def test_mended_packets_are_read_the_same(tmp_path: Path) -> None:
    maker = Maker(seed=1624)
    segments = []
    for segment in (maker.segment() for _ in range(300)):
        other = maker.segment()
        address = IPv4Address(maker.octets(4)) if segment.version == 4 else IPv6Address(maker.octets(16))
        segments.append(
            maker.random.choice((
                lambda one=segment: one.without_options(Timestamps),
                lambda one=segment: one.without_options(MptcpOption),
                lambda one=segment, to=address: one.replace(source=to, source_port=one.source_port),
                lambda one=segment, like=other: one.replace(seq=like.seq, ack=like.ack, options=like.options),
                lambda one=segment, like=other: one.replace(payload=like.payload, window=like.window),
            ))()
        )  # fmt: skip

    assert_read_as(segments, dissected(tmp_path, segments))


def test_a_wrong_checksum_is_seen(tmp_path: Path) -> None:
    right = Segment.build("192.0.2.1", "192.0.2.2", 40000, 39999, payload=b"data")
    wrong = right.replace(checksum=right.checksum ^ 1, ip_checksum=1)

    good, bad = dissected(tmp_path, [right, wrong])

    assert (good["tcp.checksum.status"], good["ip.checksum.status"]) == ([1], [1])
    assert (bad["tcp.checksum.status"], bad["ip.checksum.status"]) == ([0], [0])


@pytest.mark.parametrize(("client", "server"), [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
def test_whole_connection_with_checksums_and_a_join(tmp_path: Path, client: str, server: str) -> None:
    """Wireshark derives tokens and IDSNs from the keys."""
    client_key, server_key = 0x0102030405060708, 0xF1F2F3F4F5F6F7F8
    client_idsn, server_idsn = map(initial_data_sequence_number, (client_key, server_key))

    def from_client(option: TcpOption, seq: int, ack: int, **fields: Any) -> Segment:
        return Segment.build(client, server, 40000, 39999, seq=seq, ack=ack, options=[option], **fields)

    def from_server(option: TcpOption, seq: int, ack: int, **fields: Any) -> Segment:
        return Segment.build(server, client, 39999, 40000, seq=seq, ack=ack, options=[option], **fields)

    data = Dss(
        data_ack=int(server_idsn + 1), dsn=int(client_idsn + 1), subflow_sequence=1, length=4,
        checksum=dss_checksum(int(client_idsn + 1), 1, 4, b"data"), data_ack_64=True, dsn_64=True,
    )  # fmt: skip
    segments = [
        from_client(MpCapable(0x81), 100, 0, flags=SYN),
        from_server(MpCapable(0x81, server_key), 500, 101, flags=SYN | ACK),
        from_client(MpCapable(0x81, client_key, server_key), 101, 501),
        from_client(data, 101, 501, flags=PSH | ACK, payload=b"data"),
        from_server(Dss(data_ack=int(client_idsn + 5), data_ack_64=True), 501, 105),
        Segment.build(client, server, 40001, 39999, seq=7, flags=SYN,
                      options=[MpJoinSyn(2, token(server_key), 0x1234)]),
        Segment.build(server, client, 39999, 40001, seq=8, ack=8, flags=SYN | ACK, options=[
            MpJoinSynAck(0, int.from_bytes(join_hmac(server_key, client_key, 0x5678, 0x1234)[:8], "big"),
                         0x5678)]),
        Segment.build(client, server, 40001, 39999, seq=8, ack=9, options=[
            MpJoinAck(join_hmac(client_key, server_key, 0x1234, 0x5678)[:20])]),
        from_client(AddAddr(3, IPv4Address("192.0.2.7"), None,
                            add_addr_hmac(client_key, server_key, 3, IPv4Address("192.0.2.7"))), 105, 501),
    ]  # fmt: skip

    found = dissected(tmp_path, segments)

    assert found[1]["mptcp.expected_token"] == [token(server_key)]
    assert found[1]["mptcp.expected_idsn"] == [server_idsn]
    assert found[2]["mptcp.expected_token"] == [token(client_key)]
    assert found[2]["mptcp.expected_idsn"] == [client_idsn]
    assert_read_as(segments, found)


def test_padding_of_every_length_is_read_over(tmp_path: Path) -> None:
    segments = [
        Segment.build("192.0.2.1", "192.0.2.2", 40000 + count, 39999,
                      options=[*[NoOperation()] * count, WindowScale(7), Timestamps(count, 1)])
        for count in range(24)
    ]  # fmt: skip

    assert_read_as(segments, dissected(tmp_path, segments))
