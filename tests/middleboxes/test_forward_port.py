from __future__ import annotations

import pytest

from mbtest.errors import UsageError
from middleboxes.forward_port import ForwardPort
from tests.middlebox.bench import TO_CLIENT, Line, segment


def test_a_port_is_forwarded_there_and_back() -> None:
    line = Line(ForwardPort(80, 8080))
    there = line.put(segment(100, b"data"))[0]
    assert (there.source_port, there.destination_port, there.payload) == (40000, 8080, b"data")
    assert there.checksum_is_right()
    back = line.put(segment(500, b"answer", direction=TO_CLIENT, ports=(40000, 8080)), TO_CLIENT)[0]
    assert (back.source_port, back.destination_port, back.payload) == (80, 40000, b"answer")
    assert back.checksum_is_right()


def test_other_ports_pass_as_they_are() -> None:
    line = Line(ForwardPort(80, 8080))
    there = segment(100, b"data", ports=(40000, 443))
    back = segment(500, b"answer", direction=TO_CLIENT, ports=(40000, 443))
    assert line.put(there)[0] is there
    assert line.put(back, TO_CLIENT)[0] is back


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^ForwardPort: to=0 is out of range"):
        ForwardPort(80, 0)
