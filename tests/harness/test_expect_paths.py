"""Expectations on subflows and what they carry, each met and not met, on runs of the real kernel."""

from __future__ import annotations

from collections.abc import Callable

from mbtest.harness.actions import Prioritise, Remove
from mbtest.harness.expect_paths import DataOn, Lasts, NoSubflowOn, Resets, Subflows
from mbtest.harness.fixture import RunFixture
from mbtest.harness.workload import KIB
from mbtest.middlebox import Aim, Kind
from mbtest.wire import MpPrio
from middleboxes.drop import DropSegments

Make = Callable[..., RunFixture]
FIRST, LAST = 32 * KIB, 160 * KIB
TWO = {"topology_name": "dual-homed-client"}


def test_subflows_that_stay(fixture: Make) -> None:
    trial = fixture(**TWO)(server_sends=LAST)
    assert Subflows(1).ask(trial).met
    assert not NoSubflowOn("c2-s1").ask(trial).met
    assert all(Lasts(path).ask(trial).met for path in ("c1-s1", "c2-s1"))
    assert not Resets("client", "c2-s1").ask(trial).met
    assert not Lasts("c3-s1").ask(trial).met


def test_a_subflow_that_never_comes_about(fixture: Make) -> None:
    trial = fixture(**TWO)(DropSegments(aim=Aim(path=1, kinds=Kind.SYN)), server_sends=LAST)
    assert not Subflows(1).ask(trial).met
    assert NoSubflowOn("c2-s1").ask(trial).met
    assert not Lasts("c2-s1").ask(trial).met


def test_a_subflow_that_a_fin_ends_in_mid_connection(fixture: Make) -> None:
    trial = fixture(**TWO)(server_sends=LAST, actions=[Remove("client", after=FIRST)])
    assert Lasts("c1-s1").ask(trial).met
    ended = Lasts("c2-s1").ask(trial)
    assert not ended.met
    assert ended.evidence
    assert not Resets("client", "c2-s1").ask(trial).met


def test_a_subflow_that_is_reset_in_mid_connection(fixture: Make) -> None:
    made = fixture(stacks=("reference", "linux"), **TWO)
    trial = made(server_sends=LAST, actions=[Remove("client", after=FIRST)])
    assert Resets("client", "c2-s1").ask(trial).met
    assert not Resets("server", "c2-s1").ask(trial).met
    assert not Lasts("c2-s1").ask(trial).met


def test_data_is_counted_by_path_and_by_part_of_the_stream(fixture: Make) -> None:
    trial = fixture(**TWO)(server_sends=LAST, actions=[Prioritise("client", after=FIRST)])
    whole = (FIRST, FIRST + 8 * KIB)
    rests = DataOn("c2-s1", "server", at_most=0, of=whole).ask(trial)
    assert rests.met
    assert rests.expected == "the server sends at most 0 of its octets 32768 to 40960 on c2-s1"
    asked = trial.session.observation.server.received(MpPrio)[0][0].frame
    on_first = DataOn("c1-s1", "server", at_least=8 * KIB - 1500, of=whole).ask(trial)
    assert on_first.met
    assert all(evidence.frame > asked for evidence in on_first.evidence)
    assert not DataOn("c1-s1", "server", at_most=0, of=whole).ask(trial).met
    assert not DataOn("c2-s1", "server", at_least=1, of=whole).ask(trial).met
    # Nothing of the server's stream is the client's.
    assert DataOn("c1-s1", "client", at_most=0, of=(0, LAST)).ask(trial).met


def test_all_data_is_counted_where_no_part_is_named(fixture: Make) -> None:
    trial = fixture()(client_sends=10 * KIB)
    assert DataOn("c1-s1", "client", at_least=10 * KIB).ask(trial).met
    assert not DataOn("c1-s1", "client", at_most=10 * KIB - 1).ask(trial).met
    assert DataOn("c1-s1", "server", at_most=0).ask(trial).met
