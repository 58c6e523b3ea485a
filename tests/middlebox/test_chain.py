from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from mbtest.errors import HarnessError, UsageError
from mbtest.middlebox import Aim, BoxError, Chain, Deed, Direction, Kind, Middlebox
from mbtest.wire import SYN, Packet, Segment
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, VirtualClock, segment

Answer = Callable[[Middlebox, Segment, Direction], Any]


class Doing(Middlebox):
    """Does what it is told with each segment."""

    do: Answer = lambda box, segment, direction: [segment]

    def process(self, segment: Segment, direction: Direction) -> Any:
        return self.do(self, segment, direction)


def marked(mark: str) -> Doing:
    return Doing(lambda box, one, way: [one.replace(payload=one.payload + mark.encode())])


def payloads(packets: list[Segment]) -> list[bytes]:
    return [packet.payload for packet in packets]


def test_boxes_stand_in_order_from_the_clients_end() -> None:
    line = Line(marked("a"), marked("b"), marked("c"))
    assert payloads(line.put(segment(), TO_SERVER)) == [b"abc"]
    assert payloads(line.put(segment(direction=TO_CLIENT), TO_CLIENT)) == [b"cba"]


def test_an_empty_chain_gives_back_the_very_packet() -> None:
    packet = segment()
    assert Line().put(packet)[0] is packet


def test_each_piece_goes_through_the_boxes_ahead_and_order_is_kept() -> None:
    double = Doing(lambda box, one, way: [one.replace(payload=b"1"), one.replace(payload=b"2")])
    assert payloads(Line(double, marked("a"), double).put(segment())) == [b"1", b"2"] * 2
    assert payloads(Line(double, marked("a"), marked("b")).put(segment())) == [b"1ab", b"2ab"]


def test_what_one_box_drops_no_other_sees() -> None:
    seen: list[Segment] = []
    drop = Doing(lambda box, one, way: [])
    watch = Doing(lambda box, one, way: seen.append(one) or [one])  # type: ignore[func-returns-value]
    line = Line(drop, watch)
    assert line.put(segment(), TO_SERVER) == []
    assert seen == []
    line.put(segment(direction=TO_CLIENT), TO_CLIENT)
    assert len(seen) == 1


def test_what_process_sends_ahead_goes_before_what_it_returns() -> None:
    def ahead(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        box.send(one.replace(payload=b"early"), way)
        return [one.replace(payload=b"late")]

    double = Doing(lambda box, one, way: [one, one.replace(payload=b"second")])
    assert payloads(Line(Doing(ahead)).put(segment())) == [b"early", b"late"]
    both = Line(double, Doing(ahead), marked("!"))
    assert payloads(both.put(segment())) == [b"early!", b"late!"] * 2


def test_what_a_box_sends_goes_through_the_boxes_ahead_of_it_only() -> None:
    def answer(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        box.send(one.replace(payload=b"answer"), way.reverse)
        return []

    line = Line(marked("a"), Doing(answer), marked("b"))
    line.put(segment(), TO_SERVER)
    line.put(segment(direction=TO_CLIENT), TO_CLIENT)
    assert [(one.payload, way) for one, way in line.out if isinstance(one, Segment)] == [
        (b"answera", TO_CLIENT),
        (b"answerb", TO_SERVER),
    ]


def test_an_answer_that_is_answered_at_once_upsets_no_order() -> None:
    def reply(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        if one.payload == b"question":
            box.send(one.replace(payload=b"probe"), way.reverse)
            box.send(one.replace(payload=b"early"), way)
        return [one]

    def bounce(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        if one.payload != b"probe":
            return [one]
        box.send(one.replace(payload=b"bounced"), way.reverse)
        return []

    line = Line(Doing(bounce), Doing(lambda box, one, way: [one] * (1 + one.syn)), Doing(reply))
    line.put(segment(payload=b"question", flags=SYN))
    assert payloads([one for one, _ in line.out if isinstance(one, Segment)]) == [
        *[b"bounced"] * 8, b"early", b"question", b"early", b"question",
    ]  # fmt: skip


class Late(Middlebox):
    """Sends each segment on after a while."""

    def process(self, segment: Segment, direction: Direction) -> list[Segment]:
        self.call_later(500, lambda: self.send(segment, direction, "let it go after 500 µs"))
        return []


def test_timers_send_when_their_time_has_come() -> None:
    line = Line(Late(), marked("b"))
    assert line.put(segment()) == []
    assert line.wait(499) == []
    assert payloads(line.wait(1)) == [b"b"]
    assert line.clock.now == 500


def fail(box: Middlebox, one: Segment, way: Direction) -> Any:
    raise KeyError("no such\nflow")


def test_a_box_that_raises_is_named_with_the_packet_and_the_line() -> None:
    with pytest.raises(BoxError) as caught:
        Line(Doing(fail)).put(segment(17))
    message = str(caught.value)
    assert message.startswith("Doing raised on 192.0.2.1.40000 > 192.0.2.2.80 ACK seq 17 ")
    assert "KeyError: 'no such" in message
    assert "(test_chain.py:" in message
    assert "\n" not in message


def test_the_line_is_the_boxes_own_where_the_wire_raised() -> None:
    box = Doing(lambda box, one, way: [one.replace(seq="x")])  # type: ignore[arg-type]
    with pytest.raises(BoxError, match=r"TypeError.*\(test_chain.py:\d+, .*seq=\"x\""):
        Line(box).put(segment())


def test_a_fault_of_a_neighbour_is_laid_at_its_own_door() -> None:
    sends = Doing(lambda box, one, way: box.send(one, way.reverse) or [one])  # type: ignore[func-returns-value]

    class Broken(Doing):
        """Fails."""

    line = Line(Broken(lambda box, one, way: fail(box, one, way) if way is TO_CLIENT else [one]), sends)
    with pytest.raises(BoxError, match=r"^Broken raised"):
        line.put(segment(), TO_SERVER)


def test_a_timer_that_raises_names_the_box_and_the_line() -> None:
    def later(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        box.call_later(5, lambda: fail(box, one, way) and None)
        return [one]

    line = Line(Doing(later))
    line.put(segment())
    with pytest.raises(BoxError, match=r"^Doing raised in a timer: KeyError.*\(test_chain.py:\d+"):
        line.wait(10)


class Stillborn(Middlebox):
    """Cannot begin."""

    error: Exception = RuntimeError("no start")

    def start(self) -> None:
        raise self.error


def test_a_box_that_cannot_begin_is_named_with_the_line() -> None:
    with pytest.raises(BoxError) as broken:
        Line(Stillborn())
    assert str(broken.value).startswith("Stillborn raised in start(): RuntimeError: no start (test_chain.py:")


def test_a_box_may_refuse_its_parameters_when_it_begins() -> None:
    with pytest.raises(UsageError, match="there is one path"):
        Line(Stillborn(UsageError("there is one path")))


@pytest.mark.parametrize(
    "result",
    [None, 5, "text", [None], [b"octets"], iter(()), {}, [segment(), "text"]],
    ids=[
        "none",
        "number",
        "text",
        "list of none",
        "list of octets",
        "iterator",
        "dict",
        "a segment and text",
    ],
)
def test_a_box_that_gives_no_list_of_packets_is_named_with_the_packet(result: object) -> None:
    with pytest.raises(BoxError, match=r"^Doing gave .* on 192\.0\.2\.1\.40000"):
        Line(Doing(lambda box, one, way: result)).put(segment())


def test_a_box_that_sends_no_packet_is_named() -> None:
    box = Doing(lambda box, one, way: box.send("text", way) or [])  # type: ignore[arg-type, func-returns-value]
    with pytest.raises(BoxError, match=r"^Doing gave"):
        Line(box).put(segment())


def test_a_chain_works_only_where_it_was_attached() -> None:
    with pytest.raises(HarnessError, match="before it was attached"):
        Chain([Doing()]).clock  # noqa: B018


def test_the_same_seed_gives_each_box_the_same_chance() -> None:
    def draw(seed: int) -> list[float]:
        drawn: list[float] = []
        box = Doing(lambda box, one, way: drawn.append(box.random.random()) or [one])  # type: ignore[func-returns-value]
        chain = Chain([box, box])
        chain.attach(VirtualClock(), Random(seed), "path", lambda packet, way: None)
        chain.forward(segment(), TO_SERVER)
        return drawn

    assert draw(1) == draw(1) != draw(2)
    assert len(set(draw(1))) == 2


class Forgetful(Middlebox):
    """Changes what its aim hits, and tells what it left out."""

    def start(self) -> None:
        self.left_out = 0

    def process(self, segment: Segment, direction: Direction) -> list[Segment]:
        return [segment.replace(window=1)]

    def pass_by(self, segment: Segment, direction: Direction) -> list[Segment]:
        self.left_out += 1
        return [segment.replace(window=2)]


def test_a_box_may_say_what_becomes_of_segments_that_its_aim_leaves_out() -> None:
    line = Line(Forgetful(aim=Aim(kinds=Kind.DATA)))
    assert [line.put(segment(payload=data))[0].window for data in (b"x", b"")] == [1, 2]


def deeds(line: Line) -> list[Deed]:
    assert line.chain.record is not None
    return [action.deed for action in line.chain.record.actions]


@pytest.mark.parametrize(
    ("answer", "deed"),
    [
        (lambda box, one, way: [one], None),
        (lambda box, one, way: (one,), None),
        (lambda box, one, way: [one.replace(window=one.window)], None),
        (lambda box, one, way: [one.replace(window=1)], Deed.CHANGED),
        (lambda box, one, way: [one, one], Deed.SPLIT),
        (lambda box, one, way: [], Deed.WITHHELD),
    ],
)
def test_only_what_makes_a_difference_is_a_deed(answer: Answer, deed: Deed | None) -> None:
    line = Line(Doing(answer), Doing())
    line.put(segment())
    assert deeds(line) == ([deed] if deed else [])
    assert line.chain.deeds(Doing) == line.chain.deeds("Doing") == (1 if deed else 0)
    assert line.chain.deeds(Late) == 0


def test_what_is_released_as_it_came_was_no_deed() -> None:
    def keep(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        box.call_later(5, lambda: box.release(one, way))
        return []

    line = Line(Doing(keep))
    packet = segment()
    line.put(packet)
    assert line.chain.deeds(Doing) == 1
    assert line.wait(5) == [packet]
    assert line.chain.deeds(Doing) == 0
    assert deeds(line) == [Deed.WITHHELD, Deed.RELEASED]


def test_notes_tell_of_a_packet_that_comes_or_goes() -> None:
    def note(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        changed = one.replace(window=1)
        box.note(changed, "spoiled it")
        box.note(segment(), "of no packet here")
        return [changed]

    line = Line(Doing(note))
    packet = segment()
    (changed,) = line.put(packet)
    assert line.chain.comment(packet) == line.chain.comment(changed) == "Doing spoiled it"
    assert line.chain.comment(segment()) is None


def test_a_box_counts_what_it_is_there_for_in_its_own_words() -> None:
    def count(box: Middlebox, one: Segment, way: Direction) -> list[Segment]:
        box.did("saw data" if one.payload_length else "saw none")
        return [one]

    line = Line(Doing(count), Doing())
    for one in (segment(1, b"data"), segment(5, b"more"), segment(9)):
        line.put(one)
    assert [line.chain.did(Doing, what) for what in ("saw data", "saw none", "saw it all")] == [2, 1, 0]
    assert line.chain.did("PassThrough", "saw data") == line.chain.deeds(Doing) == 0


def test_without_a_record_a_chain_works_the_same_and_has_no_comments() -> None:
    line = Line(marked("a"))
    line.chain.record = None
    packet = segment()
    assert payloads(line.put(packet)) == [b"a"]
    assert line.chain.comment(packet) is None
    assert line.chain.deeds(Doing) == 1


def test_a_chain_describes_its_boxes_from_the_clients_end() -> None:
    line = Line(Late(), Forgetful(aim=Aim(nth=2)))
    assert line.chain.describe() == ["Late()", "Forgetful(aim=Aim(nth=2))"]


def test_packets_that_are_no_segments_go_through_process_other() -> None:
    class Swallow(Doing):
        """Drops what is no TCP."""

        def process_other(self, packet: Packet, direction: Direction) -> list[Packet]:
            return []

    udp = Packet(bytes.fromhex("4500001c0000000040110000c0000201c0000202") + bytes(8))
    line = Line(Doing(), Swallow(aim=Aim(nth=7)))
    line.put(udp)
    assert line.out == []
    assert deeds(line) == [Deed.WITHHELD]
