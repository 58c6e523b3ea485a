from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Deed
from mbtest.wire import ACK, ECE, FIN, PSH, RST, SYN, URG, Dss, Segment, TcpOption, Timestamps
from middleboxes.coalesce import CoalesceSegments
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments, talk

START = 2**32 - 4
MAPPED = Dss(1, 2, 3, 10)


def data(
    at: int, payload: bytes, flags: int = ACK, options: tuple[TcpOption, ...] = (), **more: Any
) -> Segment:
    return segment(START + at, payload, flags, options=options, **more)


def passed(line: Line, *story: Segment) -> list[Segment]:
    """Return all that leaves for the server, the timers' part included."""
    for one in story:
        line.put(one)
    line.wait(1_000_000)
    assert len(line.clock) == 0, "a timer is left"
    return segments(line.out, TO_SERVER)


def test_data_that_follows_is_merged_and_goes_on_when_the_time_is_over() -> None:
    line = Line(CoalesceSegments(delay=700))
    for one in (data(0, b"abcd"), data(4, b"ef"), data(6, b"gh")):
        assert line.put(one) == []
        line.wait(200)
    assert line.wait(99) == []
    (merged,) = line.wait(1)
    assert (merged.seq, merged.payload) == (START, b"abcdefgh")
    assert merged.checksum_is_right()


def test_push_ends_the_holding() -> None:
    line = Line(CoalesceSegments())
    assert line.put(data(0, b"ab")) == []
    (merged,) = line.put(data(2, b"cd", ACK | PSH))
    assert (merged.payload, merged.flags) == (b"abcd", ACK | PSH)
    one = data(4, b"ef", ACK | PSH)
    assert line.put(one)[0] is one
    assert len(line.clock) == 0


def test_push_is_held_too_where_it_does_not_matter() -> None:
    line = Line(CoalesceSegments(flush_on_push=False))
    (merged,) = passed(line, data(0, b"ab", ACK | PSH), data(2, b"cd"))
    assert (merged.payload, merged.flags) == (b"abcd", ACK | PSH)


def test_no_packet_is_made_larger_than_told() -> None:
    line = Line(CoalesceSegments(largest=150))
    out = passed(line, *(data(at, b"x" * 50) for at in range(0, 300, 50)))
    assert [len(one) for one in out] == [140, 140, 140]


@pytest.mark.parametrize(
    "other",
    [
        data(4, b"", ACK),
        data(4, b"ef", ACK | FIN),
        data(4, b"", RST),
        data(4, b"ef", ACK | URG, urgent=1),
        data(5, b"f"),
        data(0, b"abcd"),
        data(2, b"cdef"),
        data(4, b"ef", ACK | ECE),
        data(4, b"ef", traffic_class=0x28),
        data(4, b"ef").replace(checksum=0x1234),
        data(4, b"", SYN),
    ],
)
def test_what_does_not_go_together_stays_apart_and_in_order(other: Segment) -> None:
    held = data(0, b"abcd")
    assert passed(Line(CoalesceSegments()), held, other) == [held, other]


def test_what_is_alone_goes_on_as_the_very_one_and_was_no_deed() -> None:
    line = Line(CoalesceSegments())
    one = data(0, b"abcd")
    assert passed(line, one)[0] is one
    assert line.chain.deeds(CoalesceSegments) == 0
    passed(line, data(4, b"ef"), data(6, b"gh"))
    assert line.chain.deeds(CoalesceSegments) == 3


def test_the_record_tells_what_was_held_and_merged() -> None:
    line = Line(CoalesceSegments())
    first, second = data(0, b"ab"), data(2, b"cd")
    (merged,) = passed(line, first, second)
    assert line.chain.comment(first) == line.chain.comment(second) == "CoalesceSegments held it"
    assert line.chain.comment(merged) == "CoalesceSegments merged 2 segments"
    assert line.chain.record is not None
    assert [action.deed for action in line.chain.record.actions] == [Deed.WITHHELD, Deed.WITHHELD, Deed.SENT]


def merged_options(*sets: tuple[TcpOption, ...], **told: Any) -> list[tuple[TcpOption, ...]]:
    line = Line(CoalesceSegments(**told))
    story = [data(at * 2, b"ab", options=options) for at, options in enumerate(sets)]
    return [tuple(one for one in out.options if one.encode() != b"\1") for out in passed(line, *story)]


EARLY, LATE = (Timestamps(1, 9), Dss(1)), (Timestamps(2, 9), Dss(2))


def test_the_first_or_the_last_options_are_kept() -> None:
    assert merged_options(EARLY, LATE, options="first") == [EARLY]
    assert merged_options(EARLY, LATE, options="last") == [LATE]
    assert merged_options(EARLY, (), options="first") == [EARLY]
    assert merged_options(EARLY, (), options="last") == [()]


def test_both_sets_are_kept_while_they_fit() -> None:
    assert merged_options(EARLY, LATE, options="both") == [(Timestamps(2, 9), Dss(1), Dss(2))]
    assert merged_options(EARLY, EARLY, options="both") == [EARLY]
    large = [Dss(1, 2, 3, 4 + number, data_ack_64=True, dsn_64=True) for number in range(2)]
    apart = [(large[0],), (large[1],)]
    assert merged_options(*apart, options="both") == apart


def test_only_equal_options_are_merged_where_that_is_asked() -> None:
    assert merged_options(EARLY, EARLY, LATE, only_equal=True) == [EARLY, LATE]
    assert merged_options((Timestamps(1, 9),), (Timestamps(2, 9),), only_equal=True) == [
        (Timestamps(1, 9),),
        (Timestamps(2, 9),),
    ]


def test_a_card_merges_under_equal_acknowledgments_up_to_a_shorter_segment() -> None:
    line = Line(CoalesceSegments(only_equal=True))
    assert line.put(data(0, b"abcd")) == []
    assert line.put(data(4, b"efgh")) == []
    (merged,) = line.put(data(8, b"ij"))
    assert merged.payload == b"abcdefghij"
    for apart in (
        [data(10, b"kl"), data(12, b"mno")],
        [data(0, b"ab", ack=5), data(2, b"cd", ack=6)],
    ):
        assert passed(Line(CoalesceSegments(only_equal=True)), *apart) == apart


def test_a_great_many_segments_become_one() -> None:
    line = Line(CoalesceSegments(largest=65535))
    (merged,) = passed(line, *(data(at, b"ab") for at in range(0, 20_000, 2)))
    assert merged.payload == b"ab" * 10_000


def test_what_is_merged_acknowledges_what_the_last_did() -> None:
    (merged,) = passed(Line(CoalesceSegments()), data(0, b"ab", ack=5), data(2, b"cd", ack=9, window=7))
    assert (merged.ack, merged.window) == (9, 7)


def test_flows_and_directions_are_held_apart() -> None:
    line = Line(CoalesceSegments())
    for at in (0, 2):
        for ports in ((40000, 80), (40001, 80)):
            line.put(data(at, b"ab", ports=ports))
            line.put(data(at, b"cd", ports=ports, direction=TO_CLIENT), TO_CLIENT)
    line.put(data(4, b"", ports=(40002, 80)))
    assert len(line.out) == 1
    line.wait(10_000)
    assert [one.payload for one in segments(line.out, TO_SERVER)] == [b"", b"abab", b"abab"]
    assert [one.payload for one in segments(line.out, TO_CLIENT)] == [b"cdcd", b"cdcd"]


def test_what_the_aim_leaves_out_does_not_overtake_what_is_held() -> None:
    line = Line(CoalesceSegments(aim=Aim(until_byte=4)))
    story = [data(0, b"ab"), data(2, b"cd"), data(4, b"ef")]
    assert [one.payload for one in passed(line, *story)] == [b"abcd", b"ef"]


SHAPES = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 9), st.sampled_from((ACK, ACK, ACK | PSH, ACK | FIN))),
    max_size=12,
)


@given(SHAPES, st.booleans(), st.booleans(), st.sampled_from((60, 1500)))
def test_nothing_is_lost_and_nothing_overtakes(
    shapes: list[tuple[int, int, int]], push: bool, only_equal: bool, largest: int
) -> None:
    story, at = [], 0
    for jump, size, flags in shapes:
        at += jump if jump in (-3, 3) else 0
        story.append(data(at, bytes(number % 256 for number in range(at, at + size)), flags))
        at += size
    line = Line(CoalesceSegments(flush_on_push=push, only_equal=only_equal, largest=max(largest, 68)))
    out = passed(line, *story)
    assert octets(out) == octets(story)
    assert sum(one.fin for one in out) == sum(one.fin for one in story)


def octets(story: list[Segment]) -> list[tuple[int, int]]:
    """Return each octet with its number."""
    return [(int(one.seq + number), octet) for one in story for number, octet in enumerate(one.payload)]


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.booleans())
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float, push: bool) -> None:
    for connection in talk(CoalesceSegments(flush_on_push=push), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"delay": 0}, "delay=0 is out of range; give at least 1 microseconds"),
        ({"largest": 40}, "largest=40 is out of range; give 68 to 65535 octets"),
        ({"options": "all"}, "options='all' should be one of 'first', 'last', 'both'"),
        ({"only_equal": "yes"}, "only_equal='yes' should be True or False"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^CoalesceSegments: {words}$"):
        CoalesceSegments(**told)
