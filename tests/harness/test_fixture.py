"""The `run` fixture: what a case asks for, what comes of it, and the entry that is left."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mbtest.errors import HarnessError
from mbtest.harness.expect import Interfered, Sends, Unharmed
from mbtest.harness.fixture import Inconclusive, RunFixture, Unsupported
from mbtest.harness.pairs import is_control
from mbtest.harness.topologies import topology
from mbtest.harness.workload import KIB
from mbtest.middlebox import Aim, Direction, Kind, Middlebox
from mbtest.network.capture import read_capture
from mbtest.results import Level, Outcome, Run, Verdict
from mbtest.wire import MpFail, MptcpOption, Segment
from middleboxes.drop import DropSegments
from middleboxes.pass_through import PassThrough
from middleboxes.strip import StripOptions

Make = Callable[..., RunFixture]


def test_a_case_can_ask_what_was_chosen(fixture: Make) -> None:
    run = fixture(direction=Direction.TO_CLIENT, checksum=True, family="v6")
    assert run.id == "test.harness/linux-linux/v6/to_client/checksum"
    assert (run.sender, run.receiver) == ("server", "client")
    assert run.checksum
    assert run.topology.name == "one-path"
    assert run.session is None


def test_what_a_stack_cannot_is_unsupported(fixture: Make) -> None:
    entry = fixture().result(Unsupported("stack older lacks join, which the case needs"))
    assert entry.verdict is Verdict.UNSUPPORTED
    assert entry.reason == "stack older lacks join, which the case needs"
    assert entry.outcome is None


@pytest.mark.parametrize("direction", list(Direction))
def test_the_runs_direction_says_who_sends(fixture: Make, direction: Direction) -> None:
    session = fixture(direction=direction)(sends=3 * KIB, answers=1 * KIB).session
    assert session.stream(direction).received == 3 * KIB
    assert session.stream(direction.reverse).received == 1 * KIB


def test_a_case_calls_it_once(fixture: Make) -> None:
    run = fixture()
    run()
    with pytest.raises(HarnessError, match=r"test\.harness: a case calls run\(\) once"):
        run()


def test_a_condition_that_is_not_met_is_inconclusive(fixture: Make) -> None:
    run = fixture()
    trial = run(PassThrough(), client_sends=1)
    with pytest.raises(Inconclusive) as condition:
        trial.require(Interfered(PassThrough))
    entry = run.result(condition.value)
    assert entry.verdict is Verdict.INCONCLUSIVE
    assert entry.interference == (
        "wanted that PassThrough interferes with 1 packet at least, but it interfered with 0: "
        f"it acts on whatever it finds, in {len(trial.session.capture) // 2} packets"
    )
    assert entry.reason == f"the interference never happened: {entry.interference}"


def test_a_rule_is_broken_whether_or_not_the_interference_happened(fixture: Make) -> None:
    run = fixture(network="simulated", stacks=("reference", "reference+no-data-acks"))
    trial = run(PassThrough(), client_sends=64 * KIB, patience=1)
    with pytest.raises(Inconclusive) as condition:
        trial.require(Interfered(PassThrough))
    entry = run.result(condition.value)
    assert entry.verdict is Verdict.FAIL
    assert entry.reason.startswith(f"the interference never happened: {entry.interference}; yet ")
    assert "; broken: RFC 8684 §3.7 dss.first-data-ack: server: " in entry.reason
    assert entry.blame == ("server",)


def further(fixture: Make, *boxes: Middlebox, level: Level = Level.MUST) -> RunFixture:
    """Return a run with boxes that its case does not reckon with."""
    made = fixture(network="simulated", stacks=("reference", "reference"), level=level)
    return RunFixture(made.case, made.variant, 1, topology, (), "simulated", boxes)


def test_of_what_further_boxes_do_no_stack_is_blamed(fixture: Make) -> None:
    run = further(fixture, StripOptions())
    trial = run(client_sends=KIB)
    trial.expect(Outcome.MULTIPATH)
    trial.expect(Sends("client", MpFail))
    trial.expect(Unharmed())
    entry = run.result(None)
    assert entry.outcome is Outcome.FELL_BACK
    assert entry.verdict is Verdict.INFORMATIONAL
    assert [finding.expected for finding in entry.findings if finding.expected] == [
        "both streams arrive whole"
    ]
    assert entry.reason == (
        "through further boxes: client and server went on as regular TCP, in the handshake; "
        "without them the case expects outcome multipath; "
        "without them the case expects client sends at least 1 of MpFail, where it sent 0"
    )


def test_what_a_case_expects_may_hold_through_further_boxes(fixture: Make) -> None:
    run = further(fixture, PassThrough())
    run(client_sends=KIB).expect(Outcome.MULTIPATH)
    entry = run.result(None)
    assert entry.verdict is Verdict.PASS
    assert entry.reason == "through further boxes: MPTCP to the end, on its one subflow"


def test_rules_hold_through_further_boxes(fixture: Make) -> None:
    made = fixture(network="simulated", stacks=("reference", "reference+no-data-acks"))
    run = RunFixture(made.case, made.variant, 1, topology, (), "simulated", (PassThrough(),))
    run(client_sends=64 * KIB, patience=1).expect(Outcome.MULTIPATH)
    entry = run.result(None)
    assert entry.verdict is Verdict.FAIL
    assert entry.reason.startswith("through further boxes: ")
    assert "dss.first-data-ack" in entry.reason


def test_data_that_is_lost_in_silence_is_a_failure_through_further_boxes_unless_tcp_loses_it(
    fixture: Make,
) -> None:
    class DropMptcp(Middlebox):
        """Drops data that carries MPTCP options, and no SYN."""

        def process(self, segment: Segment, direction: Direction) -> list[Segment]:
            return [] if segment.payload and segment.option(MptcpOption) else [segment]

    verdicts = []
    for box in (DropMptcp(), DropSegments(aim=Aim(kinds=Kind.DATA))):
        run = further(fixture, box)
        run(client_sends=KIB, patience=1).expect(Outcome.MULTIPATH)
        entry = run.result(None)
        verdicts.append(entry.verdict)
        assert entry.outcome is Outcome.STALLED
        assert "both streams arrive whole" in [finding.expected for finding in entry.findings]
    assert verdicts[1] is Verdict.INCONCLUSIVE
    assert verdicts[0] is Verdict.FAIL


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ([], Verdict.PASS),
        ([Level.MAY], Verdict.INFORMATIONAL),
        ([Level.MAY, Level.SHOULD], Verdict.NON_STRICT),
        ([Level.SHOULD, Level.MUST, Level.MAY], Verdict.FAIL),
        ([None], Verdict.FAIL),
    ],
)
def test_the_highest_level_that_was_missed_is_the_verdict(
    fixture: Make, levels: list[Level | None], verdict: Verdict
) -> None:
    run = fixture()
    trial = run(client_sends=1)
    trial.expect(Outcome.MULTIPATH)
    for level in levels:
        trial.expect(Outcome.RESET, level=level)
    entry = run.result(None)
    assert entry.verdict is verdict
    assert [finding.met for finding in entry.findings] == [True] + [False] * len(levels)
    if levels:
        assert entry.reason == (
            "MPTCP to the end, on its one subflow; expected: "
            + "; ".join(["outcome reset"] * sum(level is max_of(levels) for level in levels))
        )


def max_of(levels: list[Level | None]) -> Level | None:
    return next(level for level in (None, Level.MUST, Level.SHOULD, Level.MAY) if level in levels)


def test_alternatives_and_a_level_of_the_case(fixture: Make) -> None:
    run = fixture(level=Level.SHOULD)
    trial = run(client_sends=1)
    trial.expect(Outcome.RESET, Outcome.MULTIPATH)
    trial.expect(Outcome.RESET, requirement="RFC8684-3.7/infinite-mapping")
    entry = run.result(None)
    assert entry.verdict is Verdict.NON_STRICT
    assert [finding.level for finding in entry.findings] == [Level.SHOULD] * 2
    assert entry.findings[1].requirement == "RFC8684-3.7/infinite-mapping"


def test_where_the_rfc_leaves_it_open_what_the_stack_chose_is_told(fixture: Make) -> None:
    run = fixture(level=Level.MAY)
    run(client_sends=1).note("the kernel chose this")
    entry = run.result(None)
    assert (entry.verdict, entry.reason) == (Verdict.INFORMATIONAL, "the kernel chose this")


def test_what_a_case_raises_is_our_fault(fixture: Make) -> None:
    run = fixture()
    run(client_sends=1)
    entry = run.result(ZeroDivisionError("division by zero"))
    assert (entry.verdict, entry.reason) == (
        Verdict.HARNESS_ERROR,
        "ZeroDivisionError: division by zero",
    )


def test_a_case_that_never_ran_is_our_fault(fixture: Make, tmp_path: Path) -> None:
    entry = fixture(directory=tmp_path).result(None)
    assert (entry.verdict, entry.reason) == (Verdict.HARNESS_ERROR, "the case never called run()")
    assert entry.artifacts == {}
    assert entry.outcome is None


def test_the_capture_says_which_box_did_what_and_which_expectation_failed(
    fixture: Make, tmp_path: Path
) -> None:
    (tmp_path / "captures").mkdir()
    run = fixture(directory=tmp_path)
    trial = run(StripOptions(aim=Aim(kinds=Kind.SYN)), client_sends=KIB)
    trial.expect(Outcome.MULTIPATH)
    entry = run.result(None)
    assert entry.artifacts == {
        "capture": "captures/test.harness__linux-linux__v4__to_server__no-checksum.pcapng"
    }
    frames = read_capture(tmp_path / entry.artifacts["capture"])
    comments = {frame.number: " ".join(frame.comments) for frame in frames if frame.comments}
    assert any("StripOptions removed MP_CAPABLE" in words for words in comments.values())
    failed = {number for number, words in comments.items() if "expectation failed: outcome" in words}
    assert failed == {evidence.frame for evidence in entry.findings[0].evidence}
    assert failed


def test_an_entry_holds_what_the_design_asks_for(fixture: Make) -> None:
    run = fixture(checksum=True, seed=9)
    run(PassThrough(), client_sends=KIB).expect(Unharmed())
    entry = run.result(None)
    assert entry.id == run.id
    assert (entry.case, entry.topic, entry.title) == ("test.harness", "harness", "It holds.")
    assert (entry.seed, entry.checksum, entry.topology) == (9, True, "one-path")
    assert [use.box for use in entry.boxes] == ["PassThrough()"]
    assert set(entry.stacks) == {"client", "server"}
    assert entry.stacks["client"].counters["MPTcpExtMPCapableSYNTX"] == 1
    assert 0 < entry.seconds < 10
    assert msgspec.json.decode(msgspec.json.encode(entry), type=Run) == entry


def test_the_command_repeats_the_run(fixture: Make) -> None:
    words = shlex.split(fixture(topology_name="dual-homed-both", family="v6", seed=4).repeat())
    assert words == [
        "mbtest", "run", "test.harness", "--client", "linux", "--server", "linux", "--family", "v6",
        "--direction", "to_server", "--no-checksum", "--topology", "dual-homed-both", "--seed", "4",
    ]  # fmt: skip


def test_regular_tcp_is_a_control_that_nothing_is_expected_of(fixture: Make) -> None:
    run = fixture(stacks=("tcp", "tcp"))
    trial = run(client_sends=KIB)
    trial.expect(Outcome.MULTIPATH)
    assert is_control(run.variant)
    entry = run.result(None)
    assert entry.verdict is Verdict.INFORMATIONAL
    assert entry.reason.startswith("regular TCP through these boxes: ")
    assert entry.findings == ()


def test_the_same_seed_gives_the_same_octets_and_numbers(fixture: Make) -> None:
    def octets(seed: int) -> bytes:
        trial = fixture(seed=seed)(DropSegments(aim=Aim(kinds=Kind.FIN, nth=99)), client_sends=500)
        flow = trial.session.observation.client.initial
        assert flow is not None
        return b"".join(bytes(seen.segment.payload) for seen in flow.sent.segments)

    assert octets(1) == octets(1) != octets(2)
