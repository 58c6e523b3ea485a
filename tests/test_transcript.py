"""One run as a transcript: from `result.json` and the capture alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbtest import results, transcript
from mbtest.errors import UsageError
from mbtest.network.capture import Capture
from mbtest.results import (
    BoxUse,
    Evidence,
    Fallback,
    Finding,
    Level,
    Outcome,
    Provenance,
    Results,
    Run,
    StackState,
    Stream,
    Verdict,
)
from mbtest.wire import ACK, FIN, SYN, Dss, MpCapable, MpFail, Segment, TcpOption, Timestamps

CLIENT, SERVER = ("198.18.1.2", 1000), ("198.19.1.2", 80)
POINTS = ("c1-s1/client", "c1-s1/server")


def entry(number: int = 0, **said: object) -> Run:
    fields: dict[str, object] = {
        "id": f"topic.claim-{number}/linux-linux/v4/to_server/no-checksum", "case": f"topic.claim-{number}",
        "topic": "topic", "title": "It holds.", "client": "linux", "server": "linux", "family": "v4",
        "direction": "to_server", "checksum": False, "seed": 1, "topology": "one-path",
        "verdict": Verdict.PASS, "outcome": Outcome.MULTIPATH, "reason": "so it is", "level": Level.MUST,
        "seconds": 0.1, "artifacts": {"capture": "run.pcapng"}, "repeat": "mbtest run topic.claim",
    }  # fmt: skip
    return Run(**fields | said)  # type: ignore[arg-type]


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


def directory(folder: Path, *runs: Run, capture: Capture | None = None) -> Path:
    provenance = Provenance(
        mbtest="0.1.0", revision="", kernel="Linux", machine="x86_64", python="3.11", processors=2,
        libraries={}, privileges="root", started="2025-01-01T00:00:00+00:00", seconds=1.5, command="mbtest",
        seed=1, jobs=2, sysctls={},
    )  # fmt: skip
    results.write(Results(provenance=provenance, runs=runs), folder)
    if capture is not None:
        capture.write(folder / "run.pcapng")
    return folder


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
            "other": StackState("reference", True, {"MP_FAIL": 2}, {}, ("0.1 MP_FAIL: a checksum",)),
        },
    )
    assert transcript.head(run) == [
        run.id,
        "It holds.",
        "verdict FAIL, outcome fell_back (infinite mapping): it fell back",
        "box on c1-s1: StripOptions(MpCapable), 2 packets",
        "stream to_server: 90 of 100 octets read, the first difference at 7, told ECONNRESET",
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
    assert first.startswith("      1  1.000000   c1-s1/client in  -> SYN seq 0 ack 0 length 0 [MP_CAPABLE v1")
    assert "timestamps" in first
    assert second.startswith(">>    2 ")
    assert "seq 1 ack 0 length 3\n" in second
    assert second.endswith("# StripOptions removed DSS")


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
    assert "ACK seq 1 ack 1 length 0" in transcript.packets(list(capture), set())[-1]


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


def test_a_run_is_shown_by_its_id_or_a_part_of_it(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(capture, flags=SYN)
    runs = [entry(number) for number in (1, 10, 2)]
    folder = directory(tmp_path, *runs, capture=capture)
    for wanted, shown in (("claim-2", runs[2]), (runs[0].id, runs[0]), ("claim-10/", runs[1])):
        transcript.show(folder, wanted)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == shown.id
        assert any("SYN seq 0" in line for line in lines)
        assert lines[-2:] == [f"capture: {folder / 'run.pcapng'}", "repeat:  mbtest run topic.claim"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("nothing", "no run 'nothing' in"),
        (
            "topic",
            "'topic' is part of 6 runs; name one: topic.claim-0/linux-linux/v4/to_server/no-checksum, ",
        ),
    ],
)
def test_no_run_and_several_are_told(tmp_path: Path, wanted: str, says: str) -> None:
    folder = directory(tmp_path, *(entry(number) for number in range(6)))
    with pytest.raises(UsageError) as error:
        transcript.show(folder, wanted)
    assert str(error.value).startswith(says)
    if wanted == "topic":
        assert str(error.value).endswith(", ...")


def test_a_capture_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.pcapng: the capture is not there; it was moved or deleted"):
        transcript.show(directory(tmp_path, entry()), "topic")


def test_a_capture_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder = directory(tmp_path, entry())
    (folder / "run.pcapng").write_bytes(b"something else")
    with pytest.raises(UsageError, match=r"run\.pcapng: not a whole pcapng file.*; repeat the run"):
        transcript.show(folder, "topic")


def test_a_run_without_a_capture_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = directory(tmp_path, entry(verdict=Verdict.HARNESS_ERROR, outcome=None, artifacts={}))
    transcript.show(folder, "topic")
    shown = capsys.readouterr().out
    assert "verdict HARNESS_ERROR, outcome no outcome: so it is" in shown
    assert shown.endswith("no packets were captured\n")


def test_words_from_packets_are_no_markup(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(capture, flags=SYN)
    capture.annotate(1, "[red]loud[/red]")
    transcript.show(directory(tmp_path, entry(title="[bold]It[/bold]"), capture=capture), "topic")
    shown = capsys.readouterr().out
    assert "[red]loud[/red]" in shown
    assert "[bold]It[/bold]" in shown
