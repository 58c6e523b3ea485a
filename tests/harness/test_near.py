"""What is told of a box that did not interfere."""

from __future__ import annotations

from collections.abc import Callable

from mbtest.harness.expect import Interfered
from mbtest.harness.fixture import RunFixture
from mbtest.harness.near import how_near
from mbtest.harness.workload import KIB
from mbtest.middlebox import Aim, Direction, Kind, Subflow
from mbtest.wire import MpFail
from middleboxes.drop import DropSegments
from middleboxes.pass_through import PassThrough
from middleboxes.strip import StripOptions

Make = Callable[..., RunFixture]


def simulated(fixture: Make, topology: str = "one-path") -> RunFixture:
    return fixture(network="simulated", stacks=("reference", "reference"), topology_name=topology)


def test_what_came_is_counted_condition_by_condition(fixture: Make) -> None:
    aim = Aim(path=0, direction=Direction.TO_SERVER, kinds=Kind.SYN, nth=7)
    trial = simulated(fixture)(StripOptions(aim=aim), client_sends=KIB)
    frames = [outbound for _, _, _, outbound, _ in trial.session.capture.since(0)]
    answer = Interfered(StripOptions).ask(trial)
    assert not answer.met
    assert answer.actual.startswith(
        "it interfered with 0: it waited for the 7th SYN to the server on path 0; "
        f"of {frames.count(False)} packets "
    )
    assert answer.actual.endswith(" were on that path and that way, 1 was a SYN")


def test_a_condition_that_remembers_is_not_asked_again(fixture: Make) -> None:
    asked = []

    def remembers(_: object) -> bool:
        asked.append(1)
        return len(asked) == 2

    trial = simulated(fixture)(DropSegments(aim=Aim(where=remembers, nth=5)), client_sends=KIB)
    before = len(asked)
    assert how_near(trial.session, DropSegments).endswith("packets 1 met the condition remembers")
    assert len(asked) == before


def test_a_box_that_found_nothing_in_what_it_was_aimed_at_says_so(fixture: Make) -> None:
    trial = simulated(fixture)(StripOptions(MpFail, aim=Aim(kinds=Kind.SYN)), client_sends=KIB)
    assert how_near(trial.session, StripOptions).endswith(
        "1 was a SYN; of the 1 that it acted on it changed none"
    )


def test_alike_boxes_on_several_paths_are_told_of_once(fixture: Make) -> None:
    run = simulated(fixture, "dual-homed-client")
    trial = run(DropSegments(aim=Aim(subflow=Subflow.JOINED, kinds=Kind.RST)), client_sends=64 * KIB)
    told = how_near(trial.session, DropSegments)
    assert told.count("it waited for an RST on a joined subflow") == 1
    assert told.endswith("none was an RST")


def test_a_box_without_an_aim_or_a_place(fixture: Make) -> None:
    trial = simulated(fixture)(PassThrough(), client_sends=KIB)
    assert how_near(trial.session, PassThrough).startswith("it acts on whatever it finds, in ")
    assert how_near(trial.session, DropSegments) == "it stands on no path"
