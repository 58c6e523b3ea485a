"""What crossed each end of each path: kept in memory during a run, written as pcapng after it.

A capture point is named `<path>/client` or `<path>/server`. Inbound and outbound are seen from the boxes:
inbound is what enters them there, outbound what leaves them. Frames are numbered from 1 in the order in
which they were captured, which is their order in the file. Times are those of the run's clock, so a file
begins on 1 January 1970.

The writer is ours because scapy's declares an interface when its first packet comes, and a nameless one
before that: a point that nothing crossed, which is evidence too, would not be in the file. Files are read
with scapy.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from mbtest.errors import UsageError

LINKTYPE_RAW = 101

Comment = str | Callable[[], str | None]
"""Words, or what finds them when the capture is read: what boxes did takes time to put in words."""

_SECTION, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
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
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_ORIGIN = "from frame "
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

    def since(self, number: int) -> Iterator[tuple[int, int, str, bool, bytes]]:
        """Give (number, time_us, point, outbound, raw) of the frames after one; 0 for all there are."""
        for at, (time_us, point, outbound, raw, _) in enumerate(self._frames[number:], number + 1):
            yield at, time_us, self.points[point], outbound, raw

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
            for point in self.points:
                stream.write(_interface(point))
            for number, (time_us, point_at, outbound, raw, origin) in enumerate(self._frames, 1):
                options = _FLAGS[outbound]
                if origin is not None:
                    options += _option(_OPT_COMMENT, b"%s%d" % (_ORIGIN.encode(), origin))
                for text in self.comments(number):
                    options += _option(_OPT_COMMENT, _cut(text))
                stream.write(_packet(time_us, point_at, raw, options))


class CaptureError(UsageError):
    """A file that is not there, or does not hold what `Capture.write` writes."""

    def __init__(self, file: Path, reason: str) -> None:
        """Keep the reason, in words."""
        super().__init__(f"{file}: {reason}; repeat the run to have its capture again")
        self.reason = reason


def read_capture(file: Path) -> list[CapturedFrame]:
    """Return the frames of a capture that `Capture.write` wrote. Raises CaptureError."""
    # It takes a while to import, and runs only write captures.
    from scapy.error import Scapy_Exception  # noqa: PLC0415
    from scapy.utils import RawPcapNgReader  # noqa: PLC0415

    try:
        octets = file.read_bytes()
    except OSError as error:
        raise CaptureError(file, error.strerror or str(error)) from None
    # scapy ends where a file breaks off as if that were its end.
    if (at := _broken_at(octets)) is not None:
        raise CaptureError(file, f"not a whole pcapng file of mbtest: it breaks off at octet {at}")
    frames: list[CapturedFrame] = []
    try:
        for raw, about in RawPcapNgReader(BytesIO(octets)):
            frames.append(_frame(len(frames) + 1, raw, about))
    except (Scapy_Exception, EOFError, ValueError) as error:
        words = f"not written by mbtest: frame {len(frames) + 1}: {error}"
        raise CaptureError(file, words) from None
    return frames


def _frame(number: int, raw: bytes, about: Any) -> CapturedFrame:
    """Return a packet and what scapy found beside it as a frame. Raises what shows that it is not ours."""
    origin: int | None = None
    comments = [comment.decode() for comment in about.comments or ()]
    if comments and comments[0].startswith(_ORIGIN):
        origin = int(comments.pop(0).removeprefix(_ORIGIN))
    if about.tshigh is None or about.ifname is None:
        raise ValueError("it has no time, or its interface no name")
    time_us = about.tshigh << 32 | about.tslow
    outbound = about.direction == _OUTBOUND
    return CapturedFrame(number, time_us, about.ifname.decode(), outbound, raw, origin, tuple(comments))


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
    total = _PACKET_HEADER.size + length + len(padding) + len(options) + len(_END) + _WORD.size
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
    return text.encode()[:_LONGEST_COMMENT].decode(errors="ignore").encode()
