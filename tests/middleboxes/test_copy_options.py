from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.middlebox.options import bare
from mbtest.wire import ACK, SYN, Dss, MpCapable, MpPrio, TcpOption, Timestamps
from middleboxes.copy_options import CopyOptions
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

FIRST = Aim(kinds=Kind.FIRST_DATA, direction=TO_SERVER)
MODEL = Dss(5, 6, 1, 100)


def line_with(*options: TcpOption, **told: Any) -> Line:
    """Return a line past the SYN and the model, a hundred octets with these options."""
    line = Line(CopyOptions(**{"aim": FIRST, **told}))
    line.put(segment(2**32 - 1, flags=SYN))
    line.put(segment(2**32 - 1, flags=SYN | ACK, direction=TO_CLIENT), TO_CLIENT)
    model = segment(0, bytes(100), options=options or [Timestamps(1, 1), MODEL])
    assert line.put(model)[0] is model
    return line


def options(line: Line, at: int, *own: TcpOption, size: int = 50) -> tuple[TcpOption, ...]:
    """Return the options, padding aside, that data at a stream offset has behind the box."""
    one = segment(at, bytes(size), options=own)
    (out,) = line.put(one)
    assert out.checksum_is_right()
    assert out.with_options(()) == one.with_options(())
    return bare(out.options)


def test_what_follows_has_the_options_of_the_model() -> None:
    line = line_with()
    assert options(line, 100, Timestamps(2, 2), Dss(5, 106, 101, 50)) == (Timestamps(2, 2), MODEL)
    assert options(line, 150) == (MODEL,)


def test_it_reaches_as_far_as_it_is_told() -> None:
    line = line_with(reach=60)
    assert options(line, 150) == (MODEL,)
    assert options(line, 160) == ()
    assert options(line, 100) == (MODEL,)


def test_without_reach_only_what_is_sent_again_has_them() -> None:
    line = line_with(reach=0)
    assert options(line, 100) == ()
    assert options(line, 0, Dss(9, 6, 1, 100)) == (MODEL,)
    assert options(line, 50, Dss(9, 56, 51, 50)) == (MODEL,)


def test_the_first_that_is_hit_stays_the_model() -> None:
    line = line_with()
    assert options(line, 0, Dss(9, 6, 1, 100)) == (MODEL,)
    assert options(line, 200) == (MODEL,)


def test_the_options_of_a_syn_can_go_on_everything() -> None:
    line = Line(CopyOptions(aim=Aim(kinds=Kind.SYN)))
    line.put(segment(2**32 - 1, flags=SYN, options=[MpCapable()]))
    line.put(segment(2**32 - 1, flags=SYN | ACK, direction=TO_CLIENT), TO_CLIENT)
    (out,) = line.put(segment(0, options=[MpCapable(1, 2, 3)]))
    assert out.options == (MpCapable(),)


def test_forms_that_are_not_named_stay_where_they_are() -> None:
    line = line_with(Dss(5), MpPrio(1), forms=MpPrio)
    assert options(line, 100, Dss(6)) == (Dss(6), MpPrio(1))


def test_own_options_are_kept_if_that_is_wanted() -> None:
    line = line_with(MpPrio(1), own="kept")
    assert options(line, 100, Dss(6)) == (Dss(6), MpPrio(1))


def test_a_packet_without_room_passes_as_it_is() -> None:
    line = line_with()
    assert options(line, 100, size=1460) == ()


def test_the_other_direction_and_other_flows_pass_as_they_are() -> None:
    line = line_with()
    for other in (segment(0, b"data", direction=TO_CLIENT), segment(0, b"data", ports=(40001, 80))):
        assert line.put(other, TO_CLIENT if other.source_port == 80 else TO_SERVER)[0] is other


def test_without_an_aim_nothing_says_what_is_copied() -> None:
    with pytest.raises(UsageError, match=r"^CopyOptions: aim=None: give one"):
        CopyOptions()


@pytest.mark.parametrize("told", [{"reach": -1}, {"own": "lost"}, {"forms": 30}])
def test_what_cannot_be_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^CopyOptions: "):
        CopyOptions(**told, aim=FIRST)
