"""One departure for each rule of TCP; the conversation without it breaks none."""

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import ACK, FIN, RST, SYN, MaximumSegmentSize, Sack, Timestamps, WindowScale
from tests.observe.conversation import SYN_OPTIONS, Talk

STAMP = Timestamps(1, 2)


def plain() -> Talk:
    """Regular TCP."""
    return Talk().handshake(mptcp=False)


def wrong_checksum() -> Talk:
    talk = plain()
    segment = talk.send("client", lost=True)
    talk.frames[-1] = (*talk.frames[-1][:5], segment.replace(checksum=7).raw)
    return talk


def stamped(syn: bool, later: bool) -> Talk:
    talk = Talk()
    for who, flags in (("client", SYN), ("server", SYN | ACK)):
        talk.send(who, *SYN_OPTIONS, *((STAMP,) if syn else ()), flags=flags)
    talk.send("client", *((STAMP,) if later else ()))
    return talk


def unscaled_answer() -> Talk:
    talk = Talk()
    talk.send("client", MaximumSegmentSize(1460), flags=SYN)
    talk.send("server", MaximumSegmentSize(1460), WindowScale(7), flags=SYN | ACK)
    return talk


def sack(permitted: bool, arrived: bool) -> Talk:
    talk = Talk()
    talk.send("client", *(SYN_OPTIONS if permitted else (MaximumSegmentSize(1460),)), flags=SYN)
    talk.send("server", MaximumSegmentSize(1460), flags=SYN | ACK)
    talk.send("client")
    isn = talk.flows[0].isn["client"]
    talk.send("client", payload=bytes(10), lost=True)
    if arrived:
        talk.send("client", payload=bytes(10))
    talk.send("server", Sack(((isn + 11, isn + 21),)), ack=1)
    return talk


def data(talk: Talk, *, then: bytes | None = None, **over) -> Talk:
    talk.send("client", payload=bytes(100), lost=True)
    if then is not None:
        talk.send("client", payload=then, **over)
    return talk


def small_window(size: int) -> Talk:
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, flags=SYN)
    talk.send("server", *SYN_OPTIONS, flags=SYN | ACK, window=100)
    talk.send("client", payload=bytes(100))
    talk.send("client", payload=bytes(size))
    return talk


def fin_then(**over) -> Talk:
    talk = plain()
    talk.send("client", flags=FIN | ACK)
    talk.send("client", **over)
    return talk


BROKEN = {
    "tcp.checksum": wrong_checksum,
    "tcp.reserved": lambda: data(plain(), then=bytes(9), flags=ACK | 0x200),
    "tcp.ack-bit": lambda: data(plain(), then=bytes(9), flags=0),
    "tcp.ack-beyond": lambda: data(plain(), then=bytes(9), ack=50),
    "tcp.beyond-window": lambda: small_window(2),
    "tcp.gap": lambda: data(plain(), then=bytes(9), seq=500),
    "tcp.same-octets": lambda: data(plain(), then=b"x" * 100, seq=1),
    "tcp.mss": lambda: data(plain(), then=bytes(1461)),
    "tcp.scale-answer": unscaled_answer,
    "tcp.sack-unasked": lambda: sack(permitted=False, arrived=True),
    "tcp.sack-arrived": lambda: sack(permitted=True, arrived=False),
    "tcp.timestamps-kept": lambda: stamped(syn=True, later=False),
    "tcp.timestamps-unasked": lambda: stamped(syn=False, later=True),
    "tcp.after-fin": lambda: fin_then(payload=bytes(5)),
}  # fmt: skip


def swapped(*, first: int, then: int, stamps: tuple[int, int] = (9, 9)) -> Talk:
    """The second of two segments is seen first.

    first, then: the IP identification of the one that is seen first, and of the other; 0 for none, as a host
    need not give any where nothing is cut. stamps: their timestamps.
    """
    talk = Talk()
    syn = (*SYN_OPTIONS, Timestamps(1, 0))
    talk.send("client", *syn, flags=SYN)
    talk.send("server", *syn, flags=SYN | ACK)
    talk.send("client", Timestamps(2, 1))
    for at, number, stamp in ((101, first, stamps[0]), (1, then, stamps[1])):
        talk.send("client", Timestamps(stamp, 1), payload=bytes(100), seq=at, identification=number)
    return talk


@pytest.mark.parametrize(
    ("talk", "skipped"),
    [
        (swapped(first=7, then=6), False),
        (swapped(first=3, then=0xFFFF), False),
        (swapped(first=6, then=7), True),
        (swapped(first=0, then=0, stamps=(9, 5)), False),
        (swapped(first=0, then=0, stamps=(9, 9)), False),
        (swapped(first=0, then=0, stamps=(5, 9)), True),
    ],
)
def test_segments_that_changed_places_before_the_capture_skip_nothing(talk, skipped):
    assert ("tcp.gap" in talk.broken()) is skipped


def test_what_comes_late_has_to_fill_all_that_was_skipped():
    talk = swapped(first=7, then=6)
    talk.send("client", Timestamps(9, 1), payload=bytes(100), seq=401, identification=9)
    talk.send("client", Timestamps(9, 1), payload=bytes(100), seq=201, identification=8)
    assert "tcp.gap" in talk.broken()


def window_that_shrinks() -> Talk:
    talk = plain()
    talk.send("server")
    talk.send("server", window=500)
    return talk


def options_later() -> Talk:
    talk = plain()
    talk.send("client", MaximumSegmentSize(1460))
    return talk


def back() -> Talk:
    talk = data(plain(), then=bytes(10), seq=1)
    talk.send("server")
    talk.send("server", ack=5)
    return talk


def after_reset() -> Talk:
    talk = plain()
    talk.send("client", flags=RST | ACK)
    talk.send("client", payload=b"x")
    return talk


BROKEN |= {
    "tcp.window-shrink": window_that_shrinks,
    "tcp.syn-options": options_later,
    "tcp.ack-backwards": back,
    "tcp.after-reset": after_reset,
}
FOLLOWED = {
    "plain": plain,
    "lost and sent again": lambda: data(plain(), then=bytes(100), seq=1),
    "timestamps": lambda: stamped(syn=True, later=True),
    "sack": lambda: sack(permitted=True, arrived=True),
    "fin again": lambda: fin_then(flags=FIN | ACK, seq=1),
    "a probe": lambda: small_window(1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_each_rule_has_a_departure():
    assert {name for name in RULES if name.startswith("tcp.")} == set(BROKEN)
