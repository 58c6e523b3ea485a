"""Packets from a pcap or pcapng file, one after the other, whoever wrote it and wherever it breaks off.

Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng. Packets on links other than Ethernet, raw IP, Linux
cooked capture and BSD loopback are counted and passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct, error
from typing import BinaryIO, NamedTuple

from mbtest.errors import UsageError

SECTION, INTERFACE, SIMPLE, ENHANCED, OBSOLETE = 0x0A0D0D0A, 1, 3, 6, 2
MAGIC = {
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000), b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000), b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
}  # fmt: skip
NULL, ETHERNET, RAW_BSD, RAW, LOOP, SLL, IPV4, IPV6, SLL2 = 0, 1, 12, 101, 108, 113, 228, 229, 276
IP_TYPES = (0x0800, 0x86DD)
TAGS = (0x8100, 0x88A8, 0x9100)
LARGEST = 1 << 26
"""Octets that a block can have: far more than any packet; more is no block."""
IF_NAME, IF_TSRESOL, IF_TSOFFSET, EPB_FLAGS = 2, 9, 14, 2
BUFFER = 1 << 20


class Frame(NamedTuple):
    """A packet of a file."""

    number: int
    """From 1."""
    time: int
    """Microseconds."""
    point: str
    """The name of the interface, empty where it has none."""
    outbound: bool | None
    """The direction that the file tells, None where it tells none."""
    raw: bytes
    """The IP packet."""


class Interface(NamedTuple):
    """Where packets of a pcapng file were captured."""

    link: int
    name: str
    ticks: int
    """A second's."""
    offset: int
    """Seconds that are added to each time."""


class Reader:
    """Reads one file."""

    def __init__(self, file: Path) -> None:
        """Prepare to read. Raises nothing: `frames` does."""
        self.file = file
        self.skipped: dict[int, int] = {}
        """Packets that were passed over, by link type."""
        self.truncated = 0
        """Packets that were not captured whole."""
        self.not_ip = 0
        self.broken = ""
        """Where the file breaks off, in words; empty where it is whole."""
        self._interfaces: list[Interface] = []

    def frames(self) -> Iterator[Frame]:
        """Give the IP packets. Raises UsageError for what is no capture."""
        try:
            with self.file.open("rb", buffering=BUFFER) as stream:
                head = stream.read(4)
                if head in MAGIC:
                    yield from self._pcap(stream, *MAGIC[head])
                elif head == b"\x0a\x0d\x0d\x0a":
                    try:
                        yield from self._pcapng(stream)
                    except error:
                        self.broken = "where a block is shorter than what it has to hold"
                else:
                    words = "empty" if not head else f"begins with {head.hex(' ')}"
                    raise UsageError(f"{self.file}: {words}; a pcap or pcapng file is needed")
        except OSError as problem:
            raise UsageError(f"{self.file}: {problem.strerror or problem}") from None

    # -- pcap ----------------------------------------------------------------------------------------------

    def _pcap(self, stream: BinaryIO, order: str, ticks: int) -> Iterator[Frame]:
        rest = stream.read(20)
        if len(rest) < 20:
            raise UsageError(f"{self.file}: its header is cut off; a pcap file is needed")
        link = Struct(order + "I").unpack_from(rest, 16)[0] & 0xFFFF
        header = Struct(order + "IIII")
        number = 0
        divide = ticks // 1_000_000
        while True:
            record = stream.read(16)
            if len(record) < 16:
                self.broken = f"after packet {number}" if record else ""
                return
            seconds, fraction, length, whole = header.unpack(record)
            if length > LARGEST:
                self.broken = f"after packet {number}, where one of {length} octets would be"
                return
            octets = stream.read(length)
            if len(octets) < length:
                self.broken = f"within packet {number + 1}"
                return
            number += 1
            self.truncated += whole > length
            raw = self._packet(link, octets)
            if raw is not None:
                yield Frame(number, seconds * 1_000_000 + fraction // divide, "", None, raw)

    # -- pcapng --------------------------------------------------------------------------------------------

    def _pcapng(self, stream: BinaryIO) -> Iterator[Frame]:
        number = 0
        order = "<"
        head = b"\x0a\x0d\x0d\x0a" + stream.read(4)
        pair, enhanced = Struct("<II"), Struct("<IIIII")
        while True:
            if len(head) < 8:
                if head and not number and not self._interfaces:
                    raise UsageError(f"{self.file}: it breaks off at once; a pcap or pcapng file is needed")
                self.broken = f"after packet {number}" if head else ""
                return
            body = b""
            if head[:4] == b"\x0a\x0d\x0d\x0a":
                body = stream.read(4)
                order = ">" if body == b"\x1a\x2b\x3c\x4d" else "<"
                pair, enhanced = Struct(order + "II"), Struct(order + "IIIII")
                self._interfaces = []
            kind, total = pair.unpack(head)
            if total < 12 or total % 4 or total > LARGEST:
                self.broken = f"after packet {number}, where a block of {total} octets would be"
                if not number and not self._interfaces:
                    raise UsageError(f"{self.file}: {self.broken}; a pcap or pcapng file is needed")
                return
            body += stream.read(total - 8 - len(body))
            if len(body) < total - 8:
                self.broken = f"after packet {number}, within a block of {total} octets"
                return
            if kind in (ENHANCED, OBSOLETE):
                number += 1
                frame = self._enhanced(number, kind, body, enhanced, order)
                if frame is not None:
                    yield frame
            elif kind == SIMPLE:
                number += 1
                if self._interfaces:
                    (length,) = Struct(order + "I").unpack_from(body)
                    raw = self._packet(self._interfaces[0].link, body[4 : 4 + min(length, len(body) - 8)])
                    if raw is not None:
                        yield Frame(number, 0, self._interfaces[0].name, None, raw)
            elif kind == INTERFACE:
                self._interfaces.append(_interface(body, order))
            head = stream.read(8)

    def _enhanced(self, number: int, kind: int, body: bytes, layout: Struct, order: str) -> Frame | None:
        try:
            index, high, low, length, whole = layout.unpack_from(body)
        except error:
            return None
        if kind == OBSOLETE:
            index = Struct(order + "H").unpack_from(body)[0]
        if index >= len(self._interfaces) or 20 + length + 4 > len(body):
            self.skipped[-1] = self.skipped.get(-1, 0) + 1
            return None
        interface = self._interfaces[index]
        self.truncated += whole > length
        raw = self._packet(interface.link, body[20 : 20 + length])
        if raw is None:
            return None
        time = high << 32 | low
        if interface.ticks != 1_000_000:
            time = time * 1_000_000 // interface.ticks
        outbound = None
        at = 20 + (length + 3 & ~3)
        if at + 8 < len(body):
            for code, value in _options(body, at, order):
                if code == EPB_FLAGS and len(value) == 4:
                    outbound = {1: False, 2: True}.get(Struct(order + "I").unpack(value)[0] & 3)
                    break
        return Frame(number, time + interface.offset * 1_000_000, interface.name, outbound, raw)

    # -- Links ---------------------------------------------------------------------------------------------

    def _packet(self, link: int, octets: bytes) -> bytes | None:
        """Return the IP packet in a frame, None where there is none."""
        if link in (RAW, RAW_BSD, IPV4, IPV6, 14):
            return octets
        at, kind = 0, 0
        if link == ETHERNET:
            at, kind = 14, int.from_bytes(octets[12:14], "big")
        elif link == SLL:
            at, kind = 16, int.from_bytes(octets[14:16], "big")
        elif link == SLL2:
            at, kind = 20, int.from_bytes(octets[:2], "big")
        elif link in (NULL, LOOP):
            at = 4
            version = octets[4] >> 4 if len(octets) > 4 else 0
            kind = {4: IP_TYPES[0], 6: IP_TYPES[1]}.get(version, 0)
        else:
            self.skipped[link] = self.skipped.get(link, 0) + 1
            return None
        while kind in TAGS and len(octets) >= at + 4:
            kind = int.from_bytes(octets[at + 2 : at + 4], "big")
            at += 4
        if kind not in IP_TYPES:
            self.not_ip += 1
            return None
        return octets[at:]


def _interface(body: bytes, order: str) -> Interface:
    link = Struct(order + "H").unpack_from(body)[0]
    name, ticks, offset = "", 1_000_000, 0
    for code, value in _options(body, 8, order):
        if code == IF_NAME:
            name = value.decode("utf-8", "replace")
        elif code == IF_TSRESOL and value:
            ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** min(value[0], 18)
        elif code == IF_TSOFFSET and len(value) == 8:
            offset = Struct(order + "q").unpack(value)[0]
    return Interface(link, name, ticks, offset)


def _options(body: bytes, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Give the options of a block, as far as they are whole; its last four octets are its length."""
    layout = Struct(order + "HH")
    end = len(body) - 4
    while at + 4 <= end:
        code, length = layout.unpack_from(body, at)
        at += 4
        if not code or at + length > end:
            return
        yield code, body[at : at + length]
        at += length + 3 & ~3
