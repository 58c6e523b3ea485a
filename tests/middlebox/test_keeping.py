from __future__ import annotations

from collections.abc import Sequence

from mbtest.middlebox import Direction, Middlebox
from mbtest.middlebox.keeping import Keeper
from mbtest.wire import Segment
from tests.middlebox.bench import TO_SERVER, Line, segment

PATIENCE = 1_000


class Keeping(Middlebox):
    """Keeps all data, and takes the acknowledgment number of what comes back for an offset."""

    def start(self) -> None:
        self.keeper = Keeper(self, TO_SERVER, PATIENCE)

    def process(self, one: Segment, direction: Direction) -> Sequence[Segment]:
        if direction is TO_SERVER:
            self.keeper.keep(int(one.seq) + one.payload_length, one)
        else:
            self.keeper.forget(int(one.ack))
        return [one]


def kept(line: Line) -> int:
    (box,) = line.chain.boxes
    assert isinstance(box, Keeping)
    return len(box.keeper)


def test_what_is_not_acknowledged_is_sent_again_and_again_as_it_came() -> None:
    line = Line(Keeping())
    first = segment(seq=0, payload=b"01234")
    line.put(first)
    assert line.wait(PATIENCE - 1) == []
    assert line.wait(3 * PATIENCE) == [first] * 3


def test_what_was_acknowledged_is_forgotten() -> None:
    line = Line(Keeping())
    first, second = segment(seq=0, payload=b"01234"), segment(seq=5, payload=b"56789")
    for one in (first, second):
        line.put(one)
    line.put(segment(ack=5, direction=TO_SERVER.reverse), TO_SERVER.reverse)
    assert kept(line) == 1
    assert line.wait(PATIENCE) == [second]
    line.put(segment(ack=10, direction=TO_SERVER.reverse), TO_SERVER.reverse)
    assert kept(line) == 0
    assert line.wait(10 * PATIENCE) == []
    assert len(line.clock) == 0


def test_of_two_that_end_at_the_same_place_the_later_is_kept() -> None:
    line = Line(Keeping())
    first, again = segment(seq=0, payload=b"01234"), segment(seq=2, payload=b"234")
    for one in (first, again):
        line.put(one)
    assert line.wait(PATIENCE) == [again]
