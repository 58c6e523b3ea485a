"""What crossed each end of each path: kept in memory during a run, written as pcapng after it.

A capture point is named `<path>/client` or `<path>/server`. Inbound and outbound are seen from the boxes:
inbound is what enters them there, outbound what leaves them. Frames are numbered from 1 in the order in
which they were captured, which is their order in the file. Times are those of the run's clock, so a file
begins on 1 January 1970.

The writer is ours because scapy's declares an interface when its first packet comes, and a nameless one
before that: a point that nothing crossed, which is evidence too, would not be in the file. The reader is
ours because a report reads the captures of a thousand runs, and scapy's takes several times as long.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mbtest.errors import UsageError

LINKTYPE_RAW = 101

Comment = str | Callable[[], str | None]
"""Words, or what finds them when the capture is read: what boxes did takes time to put in words."""

_SECTION, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
# The obsolete and the simple packet block.
_OTHER_PACKETS = (2, 3)
_BYTE_ORDER, _WHOLE_FILE, _WHOLE_PACKET = 0x1A2B3C4D, -1, 0
_OPT_END, _OPT_COMMENT, _IF_NAME, _EPB_FLAGS, _SHB_USERAPPL = 0, 1, 2, 2, 4
_INBOUND, _OUTBOUND = 1, 2
_PACKET_HEADER = struct.Struct("<IIIIIII")
_OPTION_HEADER = struct.Struct("<HH")
_WORD = struct.Struct("<I")
_BLOCK_HEADER = struct.Struct("<II")
# Kind, length, and the length once more at its end.
_LEAST_BLOCK = 12
_FLAGS = {
    outbound: _OPTION_HEADER.pack(_EPB_FLAGS, 4) + _WORD.pack(_OUTBOUND if outbound else _INBOUND)
    for outbound in (False, True)
}
_END = _OPTION_HEADER.pack(_OPT_END, 0)
_BARE = {flags + _END: outbound for outbound, flags in _FLAGS.items()}
_PACKET_FIXED = _PACKET_HEADER.size + len(_END) + _WORD.size
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_ORIGIN = "from frame "
_ORIGIN_OCTETS = _ORIGIN.encode()
# pcapng counts an option's octets in 16 bits.
_LONGEST_COMMENT = 65_532


class CapturedFrame(NamedTuple):
    """A packet as it crossed a capture point."""

    number: int
    """From 1, in the order of capture."""
    time_us: int
    """Run clock, microseconds."""
    point: str
    """`<path>/client` or `<path>/server`."""
    outbound: bool
    """Whether it left the boxes there; it entered them otherwise."""
    raw: bytes
    """The IP packet."""
    origin: int | None
    """The number of the frame that entered the boxes and came out as this one."""
    comments: tuple[str, ...]

    @property
    def path(self) -> str:
        """The name of the path."""
        return self.point.rpartition("/")[0]

    @property
    def side(self) -> str:
        """The end of the path: `client` or `server`."""
        return self.point.rpartition("/")[2]

    @property
    def to_server(self) -> bool:
        """Whether the packet travelled toward the server."""
        return self.outbound == (self.side == "server")


class Capture:
    """The frames of a run."""

    def __init__(self, points: Sequence[str]) -> None:
        """Begin an empty capture of these points, which frames name by their place in `points`."""
        self.points = tuple(points)
        self._frames: list[tuple[int, int, bool, bytes, int | None]] = []
        self._comments: dict[int, tuple[Comment, ...]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[CapturedFrame]:
        """Go through the frames, in the order in which they were captured."""
        points = self.points
        for at, (time_us, point, outbound, raw, origin) in enumerate(self._frames, 1):
            yield CapturedFrame(at, time_us, points[point], outbound, raw, origin, self.comments(at))

    def since(self, number: int) -> Sequence[tuple[int, int, str, bool, bytes]]:
        """Return (number, time_us, point, outbound, raw) of the frames after one; 0 for all there are."""
        # Asked in every round of a run, mostly when there is nothing new.
        if number >= len(self._frames):
            return ()
        points = self.points
        return [
            (at, time_us, points[point], outbound, raw)
            for at, (time_us, point, outbound, raw, _) in enumerate(self._frames[number:], number + 1)
        ]

    def record(self, time_us: int, point: int, outbound: bool, raw: bytes, origin: int | None = None) -> int:
        """Keep a frame and return its number.

        time_us: run clock, microseconds. origin: the number of the frame that it came from.
        """
        self._frames.append((time_us, point, outbound, raw, origin))
        return len(self._frames)

    def annotate(self, number: int, comment: Comment) -> None:
        """Add a comment to a frame that was captured. Raises IndexError when there is none of that number."""
        if not 1 <= number <= len(self._frames):
            raise IndexError(f"no frame {number}; there are {len(self._frames)}, counted from 1")
        self._comments[number] = (*self._comments.get(number, ()), comment)

    def comments(self, number: int) -> tuple[str, ...]:
        """Return the comments of a frame, the first that was made first."""
        if number not in self._comments:
            return ()
        words = (comment if isinstance(comment, str) else comment() for comment in self._comments[number])
        return tuple(text for text in words if text)

    def write(self, file: Path) -> None:
        """Write the capture as pcapng, one interface for each point. Raises OSError."""
        with file.open("wb") as stream:
            stream.write(_section())
            stream.writelines(map(_interface, self.points))
            stream.writelines(self._packets())

    def _packets(self) -> Iterator[bytes]:
        """Give the blocks of all frames."""
        commented = self._comments
        for number, (time_us, point, outbound, raw, origin) in enumerate(self._frames, 1):
            options = _FLAGS[outbound]
            if origin is not None:
                options += _option(_OPT_COMMENT, b"%s%d" % (_ORIGIN_OCTETS, origin))
            if number in commented:
                for text in self.comments(number):
                    options += _option(_OPT_COMMENT, _cut(text))
            yield _packet(time_us, point, raw, options)


class CaptureError(UsageError):
    """A file that is not there, or does not hold what `Capture.write` writes."""

    def __init__(self, file: Path, reason: str) -> None:
        """Keep the reason, in words."""
        super().__init__(f"{file}: {reason}; repeat the run to have its capture again")
        self.reason = reason


def read_capture(file: Path) -> list[CapturedFrame]:
    """Return the frames of a capture that `Capture.write` wrote. Raises CaptureError."""
    try:
        octets = file.read_bytes()
    except OSError as error:
        raise CaptureError(file, error.strerror or str(error)) from None
    if (at := _broken_at(octets)) is not None:
        raise CaptureError(file, f"not a whole pcapng file of mbtest: it breaks off at octet {at}")
    frames: list[CapturedFrame] = []
    points: list[str | None] = []
    try:
        for kind, at, end in _blocks(octets):
            if kind == _ENHANCED_PACKET:
                frames.append(_frame(len(frames) + 1, octets, at, end, points))
            elif kind == _INTERFACE:
                names = [value for code, value in _options(octets, at + 16, end) if code == _IF_NAME]
                points.append(names[0].decode() if names else None)
            elif kind in _OTHER_PACKETS:
                raise ValueError("it has no time, or its interface no name")
    except (ValueError, struct.error) as error:
        words = f"not written by mbtest: frame {len(frames) + 1}: {error}"
        raise CaptureError(file, words) from None
    return frames


def _frame(number: int, octets: bytes, at: int, end: int, points: Sequence[str | None]) -> CapturedFrame:
    """Return the packet of a block as a frame. Raises ValueError where it shows not to be ours."""
    _, _, point_at, high, low, length, _ = _PACKET_HEADER.unpack_from(octets, at)
    start = at + _PACKET_HEADER.size
    options_at = start + length + len(_PADDING[length & 3])
    if options_at > end:
        raise ValueError(f"a packet of {length} octets in a block of {end - at}")
    point = points[point_at] if point_at < len(points) else None
    if point is None:
        raise ValueError("it has no time, or its interface no name")
    comments: list[str] = []
    # Half of all frames have nothing but their direction.
    outbound = _BARE.get(octets[options_at:end])
    if outbound is None:
        found = _options(octets, options_at, end)
        comments = [value.decode() for code, value in found if code == _OPT_COMMENT]
        outbound = any(code == _EPB_FLAGS and value and value[0] & 3 == _OUTBOUND for code, value in found)
    origin: int | None = None
    if comments and comments[0].startswith(_ORIGIN):
        origin = int(comments.pop(0).removeprefix(_ORIGIN))
    raw = octets[start : start + length]
    return CapturedFrame(number, high << 32 | low, point, outbound, raw, origin, tuple(comments))


def _options(octets: bytes, at: int, end: int) -> list[tuple[int, bytes]]:
    """Return the options of a block, each its code and its value, as far as they are whole."""
    found = []
    while at + _OPTION_HEADER.size <= end:
        code, length = _OPTION_HEADER.unpack_from(octets, at)
        at += _OPTION_HEADER.size
        if code == _OPT_END or at + length > end:
            break
        found.append((code, octets[at : at + length]))
        at += length + len(_PADDING[length & 3])
    return found


def _blocks(octets: bytes) -> Iterator[tuple[int, int, int]]:
    """Give the kind of each block, where it begins, and where it ends but for its length."""
    at, size = 0, len(octets)
    while at < size:
        kind, total = _BLOCK_HEADER.unpack_from(octets, at)
        yield kind, at, at + total - _WORD.size
        at += total


def _broken_at(octets: bytes) -> int | None:
    """Return the offset of the first block that is not whole, None where all are and there is one."""
    at, size = 0, len(octets)
    while at < size or not at:
        if at + _LEAST_BLOCK > size:
            return at
        kind, total = _BLOCK_HEADER.unpack_from(octets, at)
        if (not at and kind != _SECTION) or total < _LEAST_BLOCK or total % 4 or at + total > size:
            return at
        if _WORD.unpack_from(octets, at + total - _WORD.size)[0] != total:
            return at
        at += total
    return None


def _section() -> bytes:
    body = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, _WHOLE_FILE)
    return _block(_SECTION, body + _option(_SHB_USERAPPL, b"mbtest") + _END)


def _interface(name: str) -> bytes:
    body = struct.pack("<HHI", LINKTYPE_RAW, 0, _WHOLE_PACKET)
    return _block(_INTERFACE, body + _option(_IF_NAME, name.encode()) + _END)


def _packet(time_us: int, point: int, raw: bytes, options: bytes) -> bytes:
    length = len(raw)
    padding = _PADDING[length & 3]
    total = _PACKET_FIXED + length + len(padding) + len(options)
    head = _PACKET_HEADER.pack(
        _ENHANCED_PACKET, total, point, time_us >> 32, time_us & 0xFFFFFFFF, length, length
    )
    return b"".join((head, raw, padding, options, _END, _WORD.pack(total)))


def _block(kind: int, body: bytes) -> bytes:
    total = _WORD.pack(len(body) + 12)
    return _WORD.pack(kind) + total + body + total


def _option(code: int, value: bytes) -> bytes:
    return _OPTION_HEADER.pack(code, len(value)) + value + _PADDING[len(value) & 3]


def _cut(text: str) -> bytes:
    """Return a comment's octets, shortened to what an option can hold."""
    octets = text.encode()
    if len(octets) <= _LONGEST_COMMENT:
        return octets
    return octets[:_LONGEST_COMMENT].decode(errors="ignore").encode()
