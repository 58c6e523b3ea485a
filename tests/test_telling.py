"""The story of a run: what it says, and that it fits a mail whatever happened."""

import random
import shlex

import msgspec
import pytest

from mbtest.network.capture import Capture
from mbtest.results import (
    BoxUse,
    Control,
    Evidence,
    Fallback,
    Finding,
    Level,
    Outcome,
    Run,
    StackState,
    Stream,
    Verdict,
)
from mbtest.telling import FEWEST, MOST, WIDTH, tell
from mbtest.wire import ACK, RST
from tests.observe.conversation import Talk
from tests.observe.rules.test_fallback import answered, fail, failed
from tests.stored import PROVENANCE, captured, entry

STREAMS = (Stream("to_server", 300, 300, 200), Stream("to_client", 0, 0, 0))
REASON = "neither application got anywhere for 5 s"


def story(run: Run, capture: Capture | None) -> list[str]:
    lines = tell(run, PROVENANCE, None if capture is None else list(capture))
    assert FEWEST <= len(lines) <= MOST
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert len(line) <= WIDTH
    return lines


def line(run: Run, capture: Capture | None, part: str) -> str:
    """The one line with these words."""
    (found,) = [one for one in story(run, capture) if part in one]
    return found


def quiet() -> Capture:
    return captured(Talk().established().exchange().close())


@pytest.mark.parametrize(
    ("verdict", "yet", "head"),
    [
        (Verdict.INCONCLUSIVE, "", "INCONCLUSIVE: multipath"),
        (Verdict.FAIL, "; yet it is so; broken: a rule", "FAIL: multipath; it is so"),
    ],
)
def test_an_interference_that_never_happened_has_a_line_of_its_own(verdict, yet, head):
    waited = "it waited for the 7th SYN; of 183 packets 1 was a SYN"
    reason = f"the interference never happened: {waited}{yet}"
    lines = story(entry(verdict=verdict, reason=reason, interference=waited), quiet())
    assert lines[2] == head
    told = "the interference never happened, and so the claim was not tested: it waited for the 7th SYN;"
    assert lines[3].startswith(told)
    assert "1 was a SYN" in " ".join(lines[3:5])


def test_it_begins_with_what_was_run_and_ends_with_what_repeats_it():
    run = entry(requirements=("RFC8684-3.7/mp-fail", "RFC8684-3.7/infinite-mapping", "RFC9293-3.4/gap"))
    lines = story(run, quiet())
    assert lines[:5] == [
        run.id,
        "It holds.",
        "PASS: multipath; so it is",
        "claim (MUST): RFC 8684 section 3.7, mp-fail and infinite-mapping; RFC 9293 section 3.4, gap",
        "client and server: Linux 6.18; IPv4, topology one-path, no DSS checksums",
    ]
    assert lines[-1] == "mbtest run topic.claim"


def test_the_verdict_says_what_was_expected_and_who_is_to_blame():
    missed = (
        Finding("fallback infinite mapping", REASON, False, Level.SHOULD),
        Finding("outcome fell_back", "stalled: " + REASON, False),
    )
    run = entry(
        verdict=Verdict.FAIL, outcome=Outcome.FELL_BACK, fallback=Fallback.WITHOUT_SIGNAL, blame=("server",),
        reason=f"{REASON}; expected: outcome fell_back", findings=missed,
    )  # fmt: skip
    lines = story(run, quiet())
    verdict = "FAIL: fell_back (without signal); expected fell_back by infinite mapping; to blame: server; "
    assert " ".join(one.strip() for one in lines[2:4]).startswith(verdict + REASON)
    assert not any("not met" in one for one in lines)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"server": "tcp"}, "client: Linux 6.18; server: Linux 6.18, regular TCP; IPv4"),
        ({"client": "reference+deaf"}, "client: reference+deaf (mbtest 0.1.0); server: Linux 6.18; IPv4"),
        ({"family": "v6", "checksum": True}, "IPv6, topology one-path, DSS checksums"),
        ({"network": "simulated"}, "no DSS checksums, simulated"),
    ],
)
def test_stacks_and_their_versions(said, words):
    assert line(entry(**said), quiet(), "topology one-path").find(words) >= 0


def test_boxes_that_are_alike_are_one_line():
    boxes = (BoxUse("c1-s1", "Box(at=1)", 2), BoxUse("c2-s1", "Box(at=1)", 3))
    assert "box on c1-s1 and c2-s1: Box(at=1), 5 packets" in story(entry(boxes=boxes), quiet())
    many = tuple(BoxUse("c1-s1", f"Box(at={number})", 1) for number in range(9))
    lines = story(entry(boxes=many), quiet())
    assert "box on c1-s1: Box(at=0), 1 packet" in lines
    assert "further boxes: 8 Box" in lines


def test_the_story_has_times_frames_and_who():
    lines = story(entry(), quiet())
    assert " 0.000000      1  client SYN 198.18.1.2:40000 > 198.19.1.2:80, MP_CAPABLE v1" in lines
    assert " 0.002000      3  server accepts with MP_CAPABLE v1" in lines


def test_a_box_is_told_where_it_acted():
    capture = captured(failed())
    frames = len(list(capture))
    capture.annotate(frames, "Box 51 octets of payload changed, the first at 0")
    lines = story(entry(boxes=(BoxUse("c1-s1", "Box()", 1),)), capture)
    at = next(number for number, one in enumerate(lines) if "box    Box changes octet 101" in one)
    assert "server finds that the checksum of octets 101 to 200 is wrong" in lines[at + 1]


def test_a_stall_names_who_owes_what_since_when():
    talk = failed()
    talk.ack("server", fail(101))
    run = entry(verdict=Verdict.FAIL, outcome=Outcome.STALLED, reason=REASON, streams=STREAMS)
    lines = story(run, captured(talk))
    at = next(number for number, one in enumerate(lines) if one.startswith("stall: "))
    assert " ".join(one.strip() for one in lines[at : at + 2]).startswith(
        "stall: client owes an answer to MP_FAIL, since 0.015 s, frame 16; no timer would move it "
        "(RFC 8684 3.7)"
    )


def test_what_an_application_wrote_in_vain_is_a_stall():
    run = entry(outcome=Outcome.STALLED, reason=REASON, streams=STREAMS)
    lines = " ".join(one.strip() for one in story(run, captured(answered())))
    assert "client owes an infinite mapping, and regular TCP from there on, after MP_FAIL" in lines
    assert "client owes octets 201 to 300, which its application wrote and which never left it" in lines


def test_what_both_owe_is_told_once():
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True, lost=True)
    talk.data("server", payload=b"", fin=True, lost=True)
    found = line(entry(outcome=Outcome.STALLED, reason=REASON), captured(talk), "stall:")
    assert found.startswith("stall: client and server owe its DATA_FIN once more")


def test_a_stall_in_which_nothing_is_owed_says_so():
    run = entry(outcome=Outcome.STALLED, reason=REASON)
    assert line(run, quiet(), "stall:") == (
        "stall: nothing is owed that packets show; the last of them at 0.033 s"
    )


def test_a_run_that_came_to_its_end_owes_nothing():
    streams = (Stream("to_server", 200, 200, 200, end_seen=True), Stream("to_client", 200, 200, 200))
    assert not any(one.startswith(("stall:", "owed:")) for one in story(entry(streams=streams), quiet()))


def test_what_is_owed_for_long_is_told_however_the_run_ended():
    talk = Talk().established()
    talk.data("client", lost=True)
    talk.wait(3).send("server", flags=ACK)
    assert line(entry(), captured(talk), "owed:").startswith("owed: client owes octets 101 to 200 once more")


def breaking() -> Capture:
    """A reserved bit is set in each of three mappings."""
    talk = Talk().established()
    for _ in range(3):
        talk.data("client", reserved=1)
        talk.ack("server")
    return captured(talk.close())


def test_breaches_have_clause_host_and_frames():
    found = line(entry(), breaking(), "dss.reserved")
    assert found.startswith("MUST RFC 8684 3.3 dss.reserved: client, 3 times from frame 13 on: ")


def test_what_the_run_says_of_a_rule_is_not_said_twice():
    finding = Finding(
        "the reserved bits are zero", "client: reserved bits 0x1", False, Level.MUST, rule="dss.reserved",
        clause="RFC 8684 §3.3", who="client", count=3, evidence=(Evidence(13, ""),),
    )  # fmt: skip
    assert line(entry(findings=(finding,)), breaking(), "dss.reserved") == (
        "MUST RFC 8684 3.3 dss.reserved: client, 3 times from frame 13 on: reserved bits 0x1"
    )


def test_a_stack_that_contradicts_the_packets_is_a_witness():
    finding = Finding(
        "MPFailTx as the packets show it: MPFailTx of the server is exactly 0: what it sent", "it is 1",
        False, Level.MAY, rule="witness", who="server",
    )  # fmt: skip
    lines = story(entry(findings=(finding,)), quiet())
    assert "witness: MPFailTx of the server is exactly 0: what it sent; it is 1" in lines


def test_expectations_that_were_not_met_and_what_was_noted():
    run = entry(
        reason="so it is; expected: that; broken: RFC 8684 §3.7 rule: words",
        findings=(
            Finding("this", "that", False, Level.SHOULD, evidence=(Evidence(0, ""), Evidence(3, ""))),
            Finding("more", "so it is", False),
            Finding("well", "well", True),
            Finding("", "the stack chose", True, Level.MAY),
        ),
    )
    lines = story(run, quiet())
    assert "SHOULD not met: this: that, frame 3" in lines
    assert "MUST not met: more" in lines
    assert "noted: the stack chose" in lines


def test_streams_and_what_stacks_say():
    run = entry(
        streams=(
            Stream("to_server", 100, 100, 90, first_difference=7, error="ECONNRESET"),
            Stream("to_client", 9, 9, 9, first_difference=0, expected_difference=True, end_seen=True),
            Stream("to_client", 0, 0, 0),
            Stream("to_client", 9, 9, 9, first_difference=2, wrong_at=5, end_seen=True),
        ),
        stacks={
            "client": StackState("linux", True, {"MPTcpExtMPFailTx": 1, "TcpInSegs": 9, "IpFragFails": 2}),
            "server": StackState("linux", False, {"MPTcpExtMPCapableSYNRX": 1}),
            "other": StackState("tcp"),
        },
        controls=(Control(kind="regular TCP", outcome=Outcome.FELL_BACK, reason=""),),
    )
    lines = story(run, quiet())
    assert lines[-7:] == [
        "stream to_server: 90 of 100 octets read, no end, first difference: octet 8, told ECONNRESET",
        "stream to_client: 9 of 9 octets read, and the end, first difference: octet 1 (the box's)",
        "stream to_client: 9 of 9 octets read, and the end, first wrong: octet 6, the box's: octet 3",
        "client says: socket MPTCP, MPFailTx 1, IpFragFails 2",
        "server says: socket regular TCP",
        "controls: regular TCP: fell_back",
        "mbtest run topic.claim",
    ]


def test_a_stream_that_was_wrong_is_told_to_have_been_cut_off():
    stream = Stream("to_server", 100, 100, 90, first_difference=7, wrong_at=7)
    outcome = Finding("outcome fell_back", "corrupted", False, evidence=(Evidence(5, "octet 8"),))
    run = entry(outcome=Outcome.CORRUPTED, reason="it is wrong", streams=(stream,), findings=(outcome,))
    lines = story(run, quiet())
    assert lines[2].endswith("it is wrong, frame 5")
    assert "stream to_server: 90 of 100 octets read, then the run ended, first difference: octet 8" in lines


def test_a_long_command_is_one_for_a_shell():
    command = "mbtest run topic.claim --client linux --server 'a b' " + "--content /some/long/folder " * 4
    lines = story(entry(repeat=command), quiet())
    at = lines.index(next(one for one in lines if one.startswith("mbtest run")))
    assert len(lines[at:]) == 2
    assert shlex.split("\n".join(lines[at:]).replace("\\\n", "")) == shlex.split(command)


def test_without_a_capture_there_are_ten_lines_still():
    run = entry(verdict=Verdict.HARNESS_ERROR, outcome=None, artifacts={})
    lines = story(run, None)
    assert "HARNESS_ERROR: no outcome; so it is" in lines
    assert "no packets were captured" in lines


def test_a_capture_without_packets():
    lines = story(entry(), Capture(("p/client", "p/server")))
    assert "  no TCP segment was captured" in lines


@pytest.mark.parametrize("seed", range(30))
def test_it_fits_whatever_happened(seed):
    """Joins, losses, deeds, breaches and findings beyond number, and words that are not ASCII."""
    chance = random.Random(seed)
    talk = Talk(checksum=bool(seed % 2)).established()
    flows = [0] + [talk.join() for _ in range(chance.randrange(5))]
    for _ in range(60):
        who, flow = chance.choice(["client", "server"]), chance.choice(flows)
        act = chance.randrange(6)
        if act < 3:
            talk.data(who, chance.randrange(1, 300), flow=flow, lost=act == 2, reserved=chance.choice([0, 1]))
        elif act == 3:
            talk.send(who, payload=bytes(5), flow=flow)
        elif act == 4:
            talk.send(who, flow=flow, flags=chance.choice([ACK, RST]))
        else:
            talk.ack(who, fail(1, who), flow=flow)
    capture = captured(talk)
    for number in range(1, len(talk.frames), 3):
        box = chance.choice(["Box", "Other", "Third"])
        capture.annotate(number, f"{box} {chance.choice(['lost', 'seq +4', 'did §, and ' + 'more ' * 30])}")
    many = chance.randrange(12)
    run = entry(
        title="§ " * 90, verdict=Verdict.FAIL, outcome=chance.choice(list(Outcome)), reason="words " * 90,
        requirements=("RFC8684-3.7/mp-fail",) * many, streams=STREAMS,
        findings=tuple(Finding(f"this {number}", "seen " * 60, False) for number in range(many)),
        boxes=tuple(BoxUse("c1-s1", f"{box}(at={'9' * 90})", 1) for box in ("Box", "Other", "Third")),
        stacks={
            role: StackState("linux", True, {f"MPTcpExtCounter{number}": 1 for number in range(40)})
            for role in ("client", "server")
        },
        repeat="mbtest run topic.claim " + "--family v4 " * 9,
    )  # fmt: skip
    story(msgspec.structs.replace(run, id="topic.claim/" + "-".join(["linux"] * 9)), capture)
