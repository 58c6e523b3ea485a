"""One run as a transcript: from `result.json` and the capture alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbtest import transcript
from mbtest.network.capture import Capture
from mbtest.results import (
    BoxUse,
    Evidence,
    Fallback,
    Finding,
    Level,
    Outcome,
    StackState,
    Stream,
    Verdict,
)
from mbtest.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    Dss,
    MpCapable,
    MpFail,
    Segment,
    TcpOption,
    Timestamps,
    WindowScale,
)
from tests.stored import POINTS, entry

CLIENT, SERVER = ("198.18.1.2", 1000), ("198.19.1.2", 80)


@pytest.fixture
def capture() -> Capture:
    return Capture(POINTS)


def sent(
    capture: Capture, *, flags: int = ACK, seq: int = 0, ack: int = 0, options: tuple[TcpOption, ...] = (),
    payload: bytes = b"",
) -> int:  # fmt: skip
    """Have the client's segment captured at its own side, and return the frame's number."""
    segment = Segment.build(*ends(), seq=seq, ack=ack, flags=flags, options=options, payload=payload)
    return capture.record(1_000_000 + len(capture), 0, False, segment.raw)


def ends() -> tuple[str, str, int, int]:
    return CLIENT[0], SERVER[0], CLIENT[1], SERVER[1]


def test_the_head_says_what_was_expected_and_seen() -> None:
    run = entry(
        verdict=Verdict.FAIL,
        outcome=Outcome.FELL_BACK,
        fallback=Fallback.INFINITE_MAPPING,
        reason="it fell back",
        boxes=(BoxUse("c1-s1", "StripOptions(MpCapable)", 2),),
        streams=(
            Stream("to_server", 100, 100, 90, first_difference=7, error="ECONNRESET"),
            Stream("to_client", 0, 0, 0),
        ),
        findings=(
            Finding("this", "that", False, Level.SHOULD, evidence=(Evidence(3, ""), Evidence(0, ""))),
            Finding("more", "more", True),
            Finding("", "the stack chose", True, Level.MAY),
        ),
        stacks={
            "client": StackState("linux", True, {"MPTcpExtMPFailTx": 1, "TcpOutSegs": 9}),
            "server": StackState("tcp"),
            "other": StackState("reference", True, {"MP_FAIL": 2}, events=("0.1 MP_FAIL: a checksum",)),
        },
    )
    assert transcript.head(run) == [
        run.id,
        "It holds.",
        "verdict FAIL, outcome fell_back (infinite mapping): it fell back",
        "box on c1-s1: StripOptions(MpCapable), 2 packets",
        "stream to_server: 90 of 100 octets read, first difference: octet 8, told ECONNRESET",
        "  NOT MET, SHOULD: expected this; seen: that (frames 3)",
        "  met: more",
        "  noted: the stack chose",
        "client (linux): MPFailTx 1",
        "server (tcp): no MPTCP counter moved",
        "other (reference): MP_FAIL 2",
        "  0.1 MP_FAIL: a checksum",
    ]


def test_packets_are_told_with_relative_numbers_and_what_boxes_did(capture: Capture) -> None:
    sent(capture, flags=SYN, seq=5_000, options=(MpCapable(), Timestamps(1, 0)))
    sent(capture, seq=5_001, options=(Timestamps(1, 0),), payload=b"abc")
    capture.annotate(2, "StripOptions removed DSS")
    first, second = transcript.packets(list(capture), {2})
    assert first.startswith(
        "      1  1.000000   c1-s1/client in  -> SYN seq 0 window 65535 length 0 [MP_CAPABLE v1"
    )
    assert "timestamps" in first
    assert second.startswith(">>    2 ")
    assert "seq 1 ack 0 window 65535 length 3\n" in second
    assert second.endswith("# StripOptions removed DSS")


def test_what_acknowledges_nothing_has_no_number_of_it(capture: Capture) -> None:
    sent(capture, flags=RST, seq=7, ack=9)
    (line,) = transcript.packets(list(capture), set())
    assert line.endswith("-> RST seq 0 length 0")


def test_numbers_are_relative_to_the_flow_where_flows_share_an_end(capture: Capture) -> None:
    """Subflows of one connection go to the same port of the server, and come from it."""
    other = "198.18.2.2"
    for client, seq, ack in ((CLIENT[0], 5_000, 90_000), (other, 7_000, 30_000)):
        there, back = (client, SERVER[0], CLIENT[1], SERVER[1]), (SERVER[0], client, SERVER[1], CLIENT[1])
        syn = Segment.build(*there, seq=seq, flags=SYN)
        syn_ack = Segment.build(*back, seq=ack, ack=seq + 1, flags=SYN | ACK)
        capture.record(0, 0, False, syn.raw)
        capture.record(0, 0, True, syn_ack.raw)
    last = Segment.build(*ends(), seq=5_001, ack=90_001, flags=ACK)
    capture.record(0, 0, False, last.raw)
    assert "ACK seq 1 ack 1 window 65535 length 0" in transcript.packets(list(capture), set())[-1]


@pytest.mark.parametrize(
    ("shifts", "shown"),
    [((7, 3), "window 1280 (10)"), ((15, 0), "window 163840 (10)"), ((7, None), "window 10")],
)
def test_windows_are_scaled_where_both_syns_say_so(
    capture: Capture, shifts: tuple[int | None, int | None], shown: str
) -> None:
    there, back = ends(), (SERVER[0], CLIENT[0], SERVER[1], CLIENT[1])
    own, peer = (() if shift is None else (WindowScale(shift),) for shift in shifts)
    capture.record(0, 0, False, Segment.build(*there, flags=SYN, options=own, window=10).raw)
    capture.record(0, 0, True, Segment.build(*back, ack=1, flags=SYN | ACK, options=peer).raw)
    capture.record(0, 0, False, Segment.build(*there, seq=1, ack=1, flags=ACK, window=10).raw)
    lines = transcript.packets(list(capture), set())
    assert "SYN seq 0 window 10 length 0" in lines[0]
    assert f"seq 1 ack 1 {shown} length 0" in lines[2]


def test_uneventful_packets_are_summed_up(capture: Capture) -> None:
    sent(capture, flags=SYN, seq=0)
    for number in range(50):
        dss = Dss(data_ack=1, dsn=2, subflow_sequence=1, length=10)
        sent(capture, seq=1 + 10 * number, options=(dss,), payload=bytes(10))
    sent(capture, options=(MpFail(7),))
    for number in range(transcript.QUIET):
        sent(capture, seq=600 + number)
    sent(capture, flags=FIN | ACK)
    lines = transcript.packets(list(capture), set())
    assert "... 42 packets more of the same kind ..." in lines[5]
    numbers = [int(line.split()[0]) for line in lines if "..." not in line]
    assert numbers == [1, 2, 3, 4, 5, 48, 49, 50, 51, 52, *range(53, 62)]
    assert "MP_FAIL" in lines[10]


def test_a_marked_packet_is_never_summed_up(capture: Capture) -> None:
    for number in range(60):
        sent(capture, seq=number)
    shown = transcript.packets(list(capture), {30})
    assert sum(line.startswith(">>   30 ") for line in shown) == 1


def test_what_cannot_be_read_and_what_is_no_tcp_is_told(capture: Capture) -> None:
    capture.record(0, 1, True, b"\x45\x00")
    icmp = bytearray(Segment.build(*ends()).raw)
    icmp[9] = 1
    capture.record(0, 1, True, bytes(icmp))
    broken, other = transcript.packets(list(capture), set())
    assert "undecodable: " in broken
    assert "IP protocol 1, 40 octets" in other


def test_a_run_has_its_packets_where_the_capture_is_and_what_repeats_it(capture: Capture) -> None:
    sent(capture, flags=SYN)
    run = entry()
    lines = transcript.transcript(run, list(capture), Path("out"))
    assert lines[0] == run.id
    assert any("SYN seq 0" in line for line in lines)
    assert lines[-2:] == ["capture: out/run.pcapng", "repeat:  mbtest run topic.claim"]


def test_a_run_without_a_capture_says_so() -> None:
    lines = transcript.transcript(entry(outcome=None, artifacts={}), None, Path("out"))
    assert "verdict PASS, outcome no outcome: so it is" in lines
    assert lines[-1] == "no packets were captured"
