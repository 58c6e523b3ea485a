"""Files of every kind, and files that are none."""

import struct
from pathlib import Path

import pytest

from mbtest.errors import UsageError
from mbtest.network.capture import Capture
from mbtest.observe.reader import Reader
from tests.observe.conversation import Talk

PACKETS = [frame[5] for frame in Talk().established().frames]
ETHERNET = bytes(12) + b"\x08\x00"
HEADS = {
    101: b"",
    1: ETHERNET,
    113: bytes(14) + b"\x08\x00",
    276: b"\x08\x00" + bytes(18),
    0: struct.pack("<I", 2),
    108: struct.pack(">I", 2),
}


def pcap(path: Path, link: int, head: bytes, *, order: str = "<", nano: bool = False, cut: int = 0) -> Path:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    octets = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link)
    for number, packet in enumerate(PACKETS):
        raw = head + packet
        fraction = 7_000 * (1_000 if nano else 1)
        octets += struct.pack(order + "IIII", number, fraction, len(raw), len(raw)) + raw
    path.write_bytes(octets[: len(octets) - cut])
    return path


@pytest.mark.parametrize("link", HEADS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_of_every_link(tmp_path, link, order, nano):
    frames = list(Reader(pcap(tmp_path / "a.pcap", link, HEADS[link], order=order, nano=nano)).frames())
    assert [frame.raw for frame in frames] == PACKETS
    assert frames[1].time == 1_007_000
    assert frames[0].number == 1


def test_tags_of_vlans_are_passed_over(tmp_path):
    head = bytes(12) + b"\x81\x00\x00\x05" + b"\x08\x00"
    assert len(list(Reader(pcap(tmp_path / "a.pcap", 1, head)).frames())) == len(PACKETS)


def test_another_link_type_is_counted(tmp_path):
    reader = Reader(pcap(tmp_path / "a.pcap", 147, b""))
    assert list(reader.frames()) == []
    assert reader.skipped == {147: len(PACKETS)}


def test_what_is_no_ip_is_counted(tmp_path):
    reader = Reader(pcap(tmp_path / "a.pcap", 1, bytes(12) + b"\x08\x06"))
    assert list(reader.frames()) == []
    assert reader.not_ip == len(PACKETS)


@pytest.mark.parametrize("cut", [3, 150])
def test_a_file_that_breaks_off(tmp_path, cut):
    reader = Reader(pcap(tmp_path / "a.pcap", 101, b"", cut=cut))
    assert 0 < len(list(reader.frames())) < len(PACKETS)
    assert reader.broken


def ours(path: Path) -> Path:
    capture = Capture(["p/client", "p/server"])
    for number, packet in enumerate(PACKETS):
        capture.record(number * 10, number % 2, bool(number % 2), packet, origin=number or None)
    capture.write(path)
    return path


def test_a_file_of_ours(tmp_path):
    frames = list(Reader(ours(tmp_path / "a.pcapng")).frames())
    assert [frame.raw for frame in frames] == PACKETS
    assert [(frame.point, frame.outbound) for frame in frames[:2]] == [
        ("p/client", False),
        ("p/server", True),
    ]


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_file_of_ours_that_breaks_off(tmp_path, cut):
    path = ours(tmp_path / "a.pcapng")
    path.write_bytes(path.read_bytes()[:-cut])
    reader = Reader(path)
    assert len(list(reader.frames())) >= len(PACKETS) - 2
    assert "after packet" in reader.broken


@pytest.mark.parametrize(
    "octets", [b"", b"x", b"#!/bin/sh\n", bytes(100), b"\x0a\x0d\x0d\x0a", b"\xa1\xb2\xc3\xd4ab"]
)
def test_no_capture_ends_in_one_line(tmp_path, octets):
    path = tmp_path / "a"
    path.write_bytes(octets)
    with pytest.raises(UsageError) as error:
        list(Reader(path).frames())
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        list(Reader(tmp_path / "none").frames())
