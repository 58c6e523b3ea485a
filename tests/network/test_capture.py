from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from scapy.utils import RawPcapNgReader

from mbtest.network.capture import LINKTYPE_RAW, Capture, CaptureError, read_capture
from mbtest.wire import Segment

POINTS = ["c1-s1/client", "c1-s1/server", "c2-s1/client", "c2-s1/server"]
RAW = Segment.build("198.18.1.2", "198.19.1.2", 1, 2, payload=b"one").raw
ODD = Segment.build("2001:db8:c1::2", "2001:db8:51::2", 1, 2, payload=b"odd!!").raw


@pytest.fixture
def capture() -> Capture:
    capture = Capture(POINTS)
    first = capture.record(10, 0, False, RAW)
    capture.record(25, 1, True, ODD, first)
    capture.record((1 << 32) + 7, 1, False, RAW)
    capture.annotate(first, "dropped by nobody")
    return capture


def test_frames_are_numbered_from_one_in_the_order_of_capture(capture: Capture) -> None:
    assert [frame.number for frame in capture] == [1, 2, 3]
    assert len(capture) == 3


def test_a_frame_knows_its_path_side_and_direction(capture: Capture) -> None:
    first, second, third = capture
    assert (first.path, first.side, first.to_server) == ("c1-s1", "client", True)
    assert (second.path, second.side, second.to_server) == ("c1-s1", "server", True)
    assert (third.outbound, third.to_server) == (False, False)


def test_what_was_written_is_read_again(capture: Capture, tmp_path: Path) -> None:
    capture.annotate(2, "§3.7 – a mapping lost")
    capture.write(tmp_path / "run.pcapng")
    assert read_capture(tmp_path / "run.pcapng") == list(capture)


def test_an_empty_capture_names_its_points(tmp_path: Path) -> None:
    Capture(POINTS).write(tmp_path / "run.pcapng")
    with RawPcapNgReader(str(tmp_path / "run.pcapng")) as reader:
        assert list(reader) == []
        assert [about["name"].decode() for _, _, about in reader.interfaces] == POINTS
        assert {linktype for linktype, _, _ in reader.interfaces} == {LINKTYPE_RAW}


def test_a_comment_can_be_found_later_than_it_is_made(capture: Capture) -> None:
    words: list[str] = []
    capture.annotate(3, lambda: words[0] if words else None)
    assert capture.comments(3) == ()
    words.append("split into 2")
    assert capture.comments(3) == ("split into 2",)


@pytest.mark.parametrize("number", [0, -1, 4])
def test_a_frame_that_is_not_there_takes_no_comment(capture: Capture, number: int) -> None:
    with pytest.raises(IndexError, match="there are 3"):
        capture.annotate(number, "x")


def test_an_overlong_comment_is_cut_between_characters(capture: Capture, tmp_path: Path) -> None:
    capture.annotate(3, "ä" * 40_000)
    capture.write(tmp_path / "run.pcapng")
    (comment,) = read_capture(tmp_path / "run.pcapng")[2].comments
    assert set(comment) == {"ä"}


def test_new_frames_can_be_followed(capture: Capture) -> None:
    assert [number for number, *_ in capture.since(0)] == [1, 2, 3]
    assert list(capture.since(2)) == [(3, (1 << 32) + 7, "c1-s1/server", False, RAW)]
    assert list(capture.since(3)) == []


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_tshark_reads_interfaces_directions_comments_and_packets(capture: Capture, tmp_path: Path) -> None:
    capture.write(tmp_path / "run.pcapng")
    fields = [
        "frame.number",
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.comment",
        "tcp.payload",
    ]
    command = ["tshark", "-r", str(tmp_path / "run.pcapng"), "-T", "fields", "-E", "separator=|"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert rows[0] == ["1", "c1-s1/client", "0x00000001", "dropped by nobody", b"one".hex()]
    assert rows[1] == ["2", "c1-s1/server", "0x00000002", "from frame 1", b"odd!!".hex()]


def test_a_long_run_is_written_within_a_second(tmp_path: Path) -> None:
    capture = Capture(POINTS)
    raw = bytes(1500)
    for number in range(20_000):
        capture.annotate(capture.record(number, number % 4, bool(number % 2), raw, number or None), "changed")
    started = time.process_time()
    capture.write(tmp_path / "run.pcapng")
    assert time.process_time() - started < 1


def refused(file: Path) -> str:
    with pytest.raises(CaptureError) as error:
        read_capture(file)
    words = str(error.value)
    assert words == f"{file}: {error.value.reason}; repeat the run to have its capture again"
    assert "\n" not in words
    return error.value.reason


def test_a_capture_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "run.pcapng") == "No such file or directory"
    assert refused(tmp_path) == "Is a directory"


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x0a", b"not a capture, whatever its name", b"\x0a\x0d\x0d\x0a" * 9, b"\x1f\x8b" * 20, bytes(64)],
)
def test_what_is_no_capture(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "run.pcapng"
    file.write_bytes(octets)
    assert refused(file) == "not a whole pcapng file of mbtest: it breaks off at octet 0"


@pytest.mark.filterwarnings("error")
def test_a_capture_cut_short_anywhere_is_told_so(
    capture: Capture, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.pcapng"
    capture.write(file)
    whole = file.read_bytes()
    readable = []
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with contextlib.suppress(CaptureError):
            readable.append(len(read_capture(file)))
    # Only where a block ends has the file an end like any other: after the head, four points, two frames.
    assert readable == [0, 0, 0, 0, 0, 1, 2]
    assert capfd.readouterr().err == ""


def test_a_block_of_two_lengths(capture: Capture, tmp_path: Path) -> None:
    file = tmp_path / "run.pcapng"
    capture.write(file)
    octets = bytearray(file.read_bytes())
    octets[-2] ^= 0xFF
    file.write_bytes(octets)
    assert "it breaks off at octet" in refused(file)


def block(kind: int, body: bytes) -> bytes:
    total = (len(body) + 12).to_bytes(4, "little")
    return kind.to_bytes(4, "little") + total + body + total


SECTION = block(0x0A0D0D0A, b"\x4d\x3c\x2b\x1a\x01\0\0\0" + b"\xff" * 8)
NAMELESS = block(1, b"\x65\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (NAMELESS + block(6, bytes(12) + b"\4\0\0\0" * 2 + b"abcd"), "or its interface no name"),
        (NAMELESS + block(3, b"\4\0\0\0abcd"), "it has no time"),
        (
            block(1, b"\x65\0\0\0\0\0\0\0\2\0\3\0\xff\xff\xff\0")
            + block(6, bytes(12) + b"\4\0\0\0" * 2 + b"abcd"),
            "'utf-8' codec",
        ),
    ],
)
def test_a_capture_of_another_program(tmp_path: Path, blocks: bytes, says: str) -> None:
    file = tmp_path / "run.pcapng"
    file.write_bytes(SECTION + blocks)
    reason = refused(file)
    assert reason.startswith("not written by mbtest: frame 1: ")
    assert says in reason
