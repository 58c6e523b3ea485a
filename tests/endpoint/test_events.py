"""Events, in a line, and those of a whole connection."""

from __future__ import annotations

from mbtest.endpoint import Event, Kind
from tests.endpoint.scene import A2, Scene


def test_a_line_has_time_place_words_and_clause():
    event = Event(1_500_000, Kind.FALLBACK, "why", "RFC 8684 §3.7", 2, 1)
    assert event.describe() == "1.500000 connection 2 subflow 1 fallback: why (RFC 8684 §3.7)"


def test_what_is_missing_is_left_out():
    assert Event(0, Kind.MALFORMED, "cut off").describe() == "0.000000 malformed: cut off"
    assert (
        Event(7, Kind.LOST, "ETIMEDOUT", connection=0).describe() == "0.000007 connection 0 lost: ETIMEDOUT"
    )


def test_a_connection_tells_its_story_in_order():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    scene.close().run(10_000_000)
    for host in (scene.client, scene.server):
        events = host.events
        assert [event.time for event in events] == sorted(event.time for event in events)
        assert {Kind.STATE, Kind.CONNECTED, Kind.SUBFLOW, Kind.SUBFLOW_CLOSED} <= {
            event.kind for event in events
        }
        assert {event.subflow for event in events if event.kind is Kind.SUBFLOW_CLOSED} == {0, 1}


def test_events_are_told_once():
    scene = Scene().exchange()
    assert scene.client.endpoint.events() == []
    assert scene.client.endpoint.counters["state"] == len(scene.client.heard(Kind.STATE))
