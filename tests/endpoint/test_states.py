"""The tables: what can be reached, what can happen, and what cannot."""

from __future__ import annotations

import pytest

from mbtest.endpoint.states import (
    CLOSING,
    JOIN,
    MACHINES,
    MODE,
    TCP,
    Closing,
    ClosingEvent,
    Join,
    JoinEvent,
    Machine,
    Mode,
    ModeEvent,
    Tcp,
    TcpEvent,
)
from mbtest.errors import LocalProtocolError

TABLES = {
    "subflow": (TCP, Tcp, TcpEvent, {Tcp.CLOSED}),
    "join": (JOIN, Join, JoinEvent, {Join.ESTABLISHED}),
    "mode": (MODE, Mode, ModeEvent, {Mode.REGULAR}),
    "closing": (CLOSING, Closing, ClosingEvent, {Closing.M_CLOSED}),
}
EACH = pytest.mark.parametrize("name", TABLES)


@EACH
def test_every_state_has_a_row(name):
    table, states, _, _ = TABLES[name]
    assert set(table) == set(states)
    assert MACHINES[name][1] == table


@EACH
def test_every_state_can_be_reached(name):
    first, table = MACHINES[name]
    reached = {first}
    while further := {after for state in reached for after in table[state].values()} - reached:
        reached |= further
    assert reached == set(TABLES[name][1])


@EACH
def test_every_event_can_happen_somewhere(name):
    table, _, events, _ = TABLES[name]
    assert {event for row in table.values() for event in row} == set(events)


@EACH
def test_every_state_leads_to_an_end(name):
    table, _, _, ends = TABLES[name]
    ending = set(ends)
    while further := {state for state, row in table.items() if set(row.values()) & ending} - ending:
        ending |= further
    assert ending == set(table)


@EACH
def test_a_machine_moves_along_its_table_and_tells(name):
    table = TABLES[name][0]
    for state, row in table.items():
        for event, after in row.items():
            moves: list[tuple[object, object, object]] = []
            machine = Machine(table, state, lambda *move, moves=moves: moves.append(move))
            assert machine.may(event)
            machine.fire(event)
            assert machine.state is after
            assert moves == [(state, event, after)]


@EACH
def test_a_machine_refuses_all_else_and_says_what_is_possible(name):
    table, _, events, _ = TABLES[name]
    for state, row in table.items():
        for event in set(events) - set(row):
            machine = Machine(table, state, lambda *move: None)
            assert not machine.may(event)
            assert not machine.fire_if_possible(event)
            with pytest.raises(LocalProtocolError) as raised:
                machine.fire(event)
            assert machine.state is state
            assert all(str(possible) in str(raised.value) for possible in row)
            assert row or "nothing" in str(raised.value)


def test_fire_if_possible_moves_where_it_can():
    machine = Machine(JOIN, Join.UNVERIFIED, lambda *move: None)
    assert machine.fire_if_possible(JoinEvent.ACK_VERIFIED)
    assert machine.state is Join.ESTABLISHED


@pytest.mark.parametrize("state", [Mode.INFINITE, Mode.REGULAR])
def test_nothing_leads_back_to_multipath(state):
    """RFC 8684 §3.7: once fallen back, never to return."""
    reached = {state}
    while further := {after for each in reached for after in MODE[each].values()} - reached:
        reached |= further
    assert reached <= {Mode.INFINITE, Mode.REGULAR}


def test_a_reset_ends_a_subflow_in_every_synchronised_state():
    """RFC 9293 §3.10.7.4."""
    for state in set(Tcp) - {Tcp.CLOSED}:
        assert TCP[state][TcpEvent.RESET] is Tcp.CLOSED


def test_an_abort_ends_a_connection_in_every_state():
    """RFC 8684 §3.5."""
    for state in set(Closing) - {Closing.M_CLOSED}:
        assert CLOSING[state][ClosingEvent.ABORTED] is Closing.M_CLOSED
