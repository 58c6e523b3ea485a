"""One departure for each rule on addresses and priorities; announcements without it break none."""

from ipaddress import ip_address

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import AddAddr, MpPrio, RemoveAddr, UnknownMptcp
from mbtest.wire.keys import add_addr_hmac
from tests.observe.conversation import KEYS, Talk

ADDRESS, ANOTHER, FIRST = map(ip_address, ("198.19.2.2", "198.19.3.2", "198.19.1.2"))


def announcement(number: int = 2, address=ADDRESS, port: int | None = None, flags: int = 0) -> AddAddr:
    hmac = add_addr_hmac(KEYS["server"], KEYS["client"], number, address, port or 0)
    return AddAddr(number, address, port, hmac, flags)


def said(*options, echo: AddAddr | None = None) -> Talk:
    """The server says these, each on an ACK with a Data ACK; the client echoes."""
    talk = Talk().established()
    for option in options:
        talk.ack("server", option)
    if echo is not None:
        talk.ack("client", echo)
    return talk


def alone(count: int) -> Talk:
    talk = Talk().established()
    talk.send("server")
    for _ in range(count):
        talk.send("server", MpPrio())
    return talk


def unechoed(seconds: float) -> Talk:
    talk = said(announcement())
    talk.wait(seconds).send("client")
    return talk


def echoes_wrong() -> Talk:
    """A box changes the HMAC."""
    talk = Talk().established()
    wrong = Talk().established().ack("server", AddAddr(2, ADDRESS, None, bytes(8)))
    talk.ack("server", announcement(), arrives=wrong)
    talk.ack("client", ECHO)
    return talk


ECHO = AddAddr(2, ADDRESS, None, None, 1)
BROKEN = {
    "add-addr.hmac": lambda: said(AddAddr(2, ADDRESS, None, bytes(8))),
    "add-addr.flags": lambda: said(announcement(flags=2), echo=ECHO),
    "add-addr.form": lambda: said(AddAddr(2, ADDRESS)),
    "add-addr.echoed": lambda: unechoed(3),
    "add-addr.echo-same": lambda: said(announcement(), echo=AddAddr(3, ADDRESS, None, None, 1)),
    "add-addr.echo-wrong": echoes_wrong,
    "add-addr.same-address": lambda: said(announcement(), announcement(2, ANOTHER), echo=ECHO),
    "add-addr.id-zero": lambda: said(announcement(0, ANOTHER), echo=AddAddr(0, ANOTHER, None, None, 1)),
    "add-addr.in-a-row": lambda: alone(3),
    "remove-addr.reserved": lambda: said(announcement(), RemoveAddr(b"\2", 1), echo=ECHO),
    "remove-addr.known": lambda: said(RemoveAddr(b"\7")),
    "prio.reserved": lambda: said(MpPrio(2)),
    "option.form": lambda: said(UnknownMptcp(b"\x50\0\0")),
}
FOLLOWED = {
    "announced": lambda: said(announcement(), echo=ECHO),
    "announced again, with a port": lambda: said(
        announcement(), announcement(2, ADDRESS, 81), echo=AddAddr(2, ADDRESS, 81, None, 1)
    ),
    "removed, and used for another": lambda: said(
        announcement(), RemoveAddr(b"\2"), announcement(2, ANOTHER), echo=AddAddr(2, ANOTHER, None, None, 1)
    ),
    "the first address": lambda: said(announcement(0, FIRST), echo=AddAddr(0, FIRST, None, None, 1)),
    "two in a row": lambda: alone(2),
    "echoed soon": lambda: unechoed(1),
    "a priority": lambda: said(MpPrio(1)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_an_announcement_with_a_wrong_hmac_is_not_to_be_echoed():
    talk = said(AddAddr(2, ADDRESS, None, bytes(8)), echo=ECHO)
    assert [(breach.rule, breach.who) for breach in talk.judged()] == [
        ("add-addr.hmac", "server"),
        ("add-addr.echo-wrong", "client"),
    ]


def test_each_rule_has_a_departure():
    topics = ("add-addr.", "remove-addr.", "prio.", "option.")
    assert {name for name in RULES if name.startswith(topics)} == set(BROKEN)
