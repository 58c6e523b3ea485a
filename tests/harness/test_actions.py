"""Hosts that act in mid-connection: the kernel, the reference endpoint, and applications that wait."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from mbtest.errors import UsageError
from mbtest.harness.actions import (
    HEARD,
    Action,
    Announce,
    Connect,
    Join,
    Lose,
    Prioritise,
    Remove,
    address_of,
    kept_back,
    needed,
)
from mbtest.harness.fixture import RunFixture, Trial, Unsupported
from mbtest.harness.plan import settings
from mbtest.harness.topologies import topology
from mbtest.harness.workload import KIB, Workload
from mbtest.results import Outcome
from mbtest.stacks import Capability
from mbtest.wire import AddAddr, Dss, MpJoinSyn, MpPrio, MptcpOption, RemoveAddr
from middleboxes.strip import StripOptions

Make = Callable[..., RunFixture]
FIRST, LAST = 32 * KIB, 96 * KIB
PAIRS = pytest.mark.parametrize(
    "stacks", [("linux", "linux"), ("reference", "linux"), ("linux", "reference")]
)


def first_data(trial: Trial, since: int) -> int:
    """Return the frame in which the client first sends an octet from this offset of its stream on."""
    base = trial.session.observation.connection("client").own.base
    sent = trial.session.observation.client.sent(Dss)
    return min(seen.frame for seen, dss in sent if dss.dsn is not None and dss.dsn - base - 1 >= since)


@PAIRS
@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize(
    ("action", "form"),
    [
        (Remove("client", after=FIRST), RemoveAddr),
        (Prioritise("client", after=FIRST), MpPrio),
        (Join("client", after=FIRST), MpJoinSyn),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Action) else "",
)
def test_a_client_acts_and_applications_wait(
    fixture: Make, stacks: tuple[str, str], family: str, action: Action, form: type[MptcpOption]
) -> None:
    made = fixture(family=family, stacks=stacks, topology_name="dual-homed-client")
    trial = made(client_sends=LAST, actions=[action])
    assert trial.outcome in (Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)
    told = trial.session.observation.client.sent(form)
    assert told
    assert told[0][0].frame < first_data(trial, FIRST)
    before = trial.session.observation.server.received(Dss)
    base = trial.session.observation.connection("client").own.base
    read = [dss for seen, dss in before if dss.dsn is not None and seen.frame < told[0][0].frame]
    assert max(dss.dsn + dss.length - base - 1 for dss in read) == FIRST


@PAIRS
@pytest.mark.parametrize("port", [None, 8080])
def test_a_server_announces(fixture: Make, stacks: tuple[str, str], port: int | None) -> None:
    made = fixture(stacks=stacks, topology_name="dual-homed-both")
    trial = made(client_sends=LAST, actions=[Announce("server", after=FIRST, port=port)])
    assert trial.outcome is Outcome.MULTIPATH
    seen, option = trial.session.observation.server.sent(AddAddr)[0]
    assert (option.address, option.port) == (ip_address("198.19.2.2"), port)
    assert seen.frame < first_data(trial, FIRST)


def test_a_client_announces_and_the_server_joins(fixture: Make) -> None:
    made = fixture(topology_name="dual-homed-client")
    trial = made(client_sends=LAST, actions=[Announce("client", after=FIRST, port=8080)])
    assert trial.outcome is Outcome.MULTIPATH
    assert trial.session.observation.server.sent(MpJoinSyn)


def test_a_host_loses_an_address(fixture: Make) -> None:
    lost = Lose("client", after=FIRST, busy=True)
    actions = [lost, Remove("client", after=FIRST), Join("client", after=FIRST)]
    trial = fixture(topology_name="dual-homed-client")(client_sends=LAST, actions=actions)
    assert trial.outcome is not Outcome.STALLED
    assert trial.session.stacks["client"].counters["MPTcpExtMPJoinSynTxBindErr"] == 1


def test_another_connection_is_opened(fixture: Make) -> None:
    trial = fixture()(client_sends=LAST, actions=[Connect("client", 0, after=FIRST, port=8080)])
    assert trial.outcome is Outcome.MULTIPATH
    ports = {
        flow.opening.syn.segment.destination_port for flow in trial.session.observation.client.flows.values()
    }
    assert ports == {80, 8080}


def test_what_nobody_hears_of_is_waited_for_no_longer_than_so(fixture: Make) -> None:
    made = fixture(network="simulated", stacks=("reference", "reference"), topology_name="dual-homed-client")
    trial = made(StripOptions(MpPrio), client_sends=LAST, actions=[Prioritise("client", after=FIRST)])
    assert trial.outcome is Outcome.MULTIPATH
    assert HEARD < trial.session.elapsed < 2 * HEARD


def test_a_busy_action_is_not_waited_for(fixture: Make) -> None:
    made = fixture(network="simulated", stacks=("reference", "reference"), topology_name="dual-homed-client")
    busy = Prioritise("client", after=FIRST, busy=True)
    trial = made(StripOptions(MpPrio), client_sends=LAST, actions=[busy])
    assert trial.session.observation.client.sent(MpPrio)
    assert trial.session.elapsed < HEARD


def test_regular_tcp_is_asked_for_nothing(fixture: Make) -> None:
    made = fixture(stacks=("tcp", "tcp"), topology_name="dual-homed-client")
    trial = made(client_sends=LAST, actions=[Remove("client", after=FIRST)])
    assert trial.session.stream(made.direction).received == LAST
    assert trial.session.stuck == ""


def test_what_a_host_cannot_is_unsupported(fixture: Make) -> None:
    made = fixture(stacks=("reference", "linux"), topology_name="dual-homed-client")
    with pytest.raises(Unsupported, match="stack reference lacks lose"):
        made(client_sends=LAST, actions=[Lose("client")])
    # The one that does nothing need not be able to.
    able = fixture(stacks=("linux", "reference"), topology_name="dual-homed-client")
    assert able(client_sends=LAST, actions=[Lose("client", after=FIRST)]).outcome is not Outcome.STALLED


def test_what_hosts_need() -> None:
    assert needed([Lose("client"), Remove("server"), Connect("server")]) == {
        "client": {Capability.LOSE},
        "server": {Capability.MANAGE, Capability.MPTCP},
    }


def test_an_interface_that_a_host_has_not_is_refused(fixture: Make) -> None:
    told = r"Remove\('server', 1\): topology one-path has no such address; the server has interfaces 0 to 0"
    with pytest.raises(UsageError, match=told):
        fixture()(client_sends=LAST, actions=[Remove("server")])


def test_applications_that_take_turns_do_not_wait() -> None:
    rounds = {"shape": "rounds", "rounds": 2, "client_sends": 2, "server_sends": 2}
    with pytest.raises(UsageError, match="busy=True"):
        Workload(actions=(Remove("client"),), **rounds)
    Workload(actions=(Remove("client", busy=True),), **rounds)


def test_addresses_are_of_the_runs_family() -> None:
    two = topology("dual-homed-both")
    assert str(address_of(Remove("client"), two, "v4")) == "198.18.2.2"
    assert str(address_of(Remove("client"), two, "v6")) == "2001:db8:c2::2"
    assert str(address_of(Remove("client", 0), two, "mixed")) == "198.18.1.2"
    assert str(address_of(Remove("client", 1), two, "mixed")) == "2001:db8:c2::2"
    assert str(address_of(Connect("client", 1), two, "v4")) == "198.19.2.2"


def test_an_address_that_comes_into_use_later_is_not_used_before(fixture: Make) -> None:
    actions = (Announce("server", 1), Remove("client", 1), Join("client", 1))
    assert kept_back(actions, "server") == {1}
    assert kept_back(actions, "client") == frozenset()
    trial = fixture(topology_name="dual-homed-both")(
        client_sends=LAST, actions=[Announce("server", after=FIRST)]
    )
    assert settings(trial.session.plan, "server").signal == ()
    assert [str(one) for one in settings(trial.session.plan, "client").join_from] == ["198.18.2.2"]
