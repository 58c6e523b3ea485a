"""One departure for each rule on DSS; the transfer without it breaks none."""

import copy

import pytest

from mbtest.observe.rules import RULES, dss
from mbtest.wire import ACK, SYN, URG, Dss, MpJoinAck
from tests.observe.conversation import IDSN, MASK_64, SYN_OPTIONS, Talk


def talk(*, checksum: bool = False) -> Talk:
    return Talk(checksum=checksum).established()


def data(sums: bool = False, *, who: str = "client", **over) -> Talk:
    conversation = talk(checksum=sums)
    conversation.data(who, **over)
    return conversation


def changed() -> Talk:
    conversation = talk()
    conversation.data("client", lost=True)
    conversation.data("client", seq=101, subflow_sequence=101, dsn=(IDSN["client"] + 500) & MASK_64)
    return conversation


def other_checksum() -> Talk:
    """Sent again with a checksum that is another, though the octets are the same."""
    conversation = talk(checksum=True)
    payload = bytes(100)
    first = conversation.dss("client", payload)
    conversation.send("client", first, payload=payload)
    again = {name: getattr(first, name) for name in first.__struct_fields__} | {"checksum": 5}
    conversation.send("client", Dss(**again), payload=payload, seq=101)
    return conversation


def unmapped_at_first() -> Talk:
    conversation = Talk().handshake()
    payload = bytes(100)
    conversation.send("client", conversation.capable(200), payload=payload)
    conversation.send("client", conversation.dss("client", mapped=False), payload=payload)
    return conversation


def unmapped_join() -> Talk:
    conversation = talk()
    flow = conversation.join()
    conversation.send("client", conversation.dss("client", mapped=False), payload=bytes(10), flow=flow)
    return conversation


def fin(**over) -> Talk:
    conversation = talk()
    conversation.data("client", payload=b"", fin=True, **over)
    return conversation


def fin_then(**over) -> Talk:
    conversation = fin()
    conversation.data("client", **over)
    return conversation


def on_backup(*, busy: bool, seconds: float = 1) -> Talk:
    conversation = talk()
    flow = conversation.open()
    conversation.send("client", *SYN_OPTIONS, conversation.join_syn(flow), flags=SYN, flow=flow)
    conversation.send(
        "server", *SYN_OPTIONS, conversation.join_answer(flow, flags=1), flags=SYN | ACK, flow=flow
    )
    conversation.send("client", MpJoinAck(conversation.proof("client", flow)[:20]), flow=flow)
    conversation.ack("server", flow=flow)
    conversation.wait(seconds)
    if busy:
        conversation.data("client", lost=True)
    conversation.data("client", flow=flow)
    return conversation


def two() -> Talk:
    conversation = talk()
    conversation.data("client", more=(Dss(data_ack=conversation.dss("client").data_ack, data_ack_64=True),),
                      dsn_64=False, dsn=(IDSN["client"] + 101) & 0xFFFF_FFFF)  # fmt: skip
    return conversation


def twice(second: bytes, *, shift: int = 0, on_another: bool = True, acked: bool = False) -> Talk:
    """Octets under data sequence numbers that others had, on another subflow or further on."""
    conversation = talk()
    flow = conversation.join() if on_another else 0
    numbers = {"dsn": (IDSN["client"] + 101 + shift) & MASK_64}
    conversation.data("client", payload=bytes(range(100)), lost=not acked)
    if acked:
        conversation.ack("server")
    conversation.data("client", payload=second, flow=flow, **numbers)
    return conversation


def odd_checksum(seconds: float, *, checksum: bool, resets: bool = False) -> Talk:
    """A mapping reaches the server with a checksum too many or too few. checksum: what was agreed on."""
    conversation = talk(checksum=checksum)
    payload = bytes(100)
    option = conversation.dss("client", payload)
    shadow = Talk()
    shadow.flows = [copy.deepcopy(conversation.flows[0])]
    fields = {name: getattr(option, name) for name in option.__struct_fields__}
    other = Dss(**{**fields, "checksum": None if checksum else 7})
    conversation.send(
        "client", option, payload=payload, arrives=shadow.send("client", other, payload=payload, lost=True)
    )
    if resets:
        conversation.reset("server")
    conversation.wait(seconds).send("client", lost=True)
    return conversation


BROKEN = {
    "dss.mapping-changed": changed,
    "dss.checksum-present": lambda: data(True, checksum=None),
    "dss.checksum-unasked": lambda: data(False, checksum=7),
    "dss.checksum-right": lambda: data(True, checksum=7),
    "dss.checksum-of-fin": lambda: data(True, payload=b"", fin=True, checksum=7),
    "dss.same-checksum": other_checksum,
    "dss.checksum-reset": lambda: odd_checksum(3, checksum=False),
    "dss.same-octets": lambda: twice(bytes(100)),
    "dss.reserved": lambda: data(reserved=1),
    "dss.mapping-on-each": unmapped_at_first,
    "dss.no-mapping": unmapped_join,
    "dss.empty": lambda: data(mapped=False, data_ack=None, data_ack_64=False, payload=b""),
    "dss.fin-alone": lambda: fin(subflow_sequence=101),
    "dss.fin-mapped": lambda: data(mapped=False, payload=b"", data_fin=True),
    "dss.fin-moved": lambda: fin_then(payload=b"", fin=True),
    "dss.after-fin": fin_then,
    "dss.fin-inside": lambda: fin(dsn=(IDSN["client"] + 50) & MASK_64),
    "dss.urgent": lambda: data(flags=ACK | URG, urgent=5),
    "dss.backup": lambda: on_backup(busy=False),
    "dss.two": two,
}  # fmt: skip
FOLLOWED = {
    "checksums": lambda: data(True, size=101),
    "a lone DATA_FIN": fin,
    "a DATA_FIN with data": lambda: data(True, fin=True),
    "32 bits": lambda: data(dsn=(IDSN["client"] + 101) & 0xFFFF_FFFF, dsn_64=False),
    "the same octets on another subflow": lambda: twice(bytes(range(100))),
    "a reset for a checksum too few": lambda: odd_checksum(3, checksum=True, resets=True),
    "a checksum too many, a moment ago": lambda: odd_checksum(1, checksum=False),
    "some of them": lambda: twice(bytes(range(40, 60)), shift=40),
    "the same octets further on": lambda: twice(bytes(range(100)), on_another=False),
    "others, under numbers that were acknowledged": lambda: twice(bytes(100), acked=True),
    "a backup while the other waits": lambda: on_backup(busy=True),
    "a backup while the other has just become idle": lambda: on_backup(busy=False, seconds=0),
}


def lone_fin_again() -> Talk:
    conversation = talk()
    first = conversation.dss("client", fin=True)
    conversation.send("client", first)
    conversation.send("client", first)
    return conversation


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


@pytest.mark.parametrize("shift", [0, 30])
def test_other_octets_further_on_the_same_subflow(shift):
    assert twice(bytes(10), shift=shift, on_another=False).broken() == {"dss.same-octets"}


def test_a_data_fin_may_be_sent_again():
    assert lone_fin_again().judged() == []


def test_each_rule_has_a_departure():
    assert {name for name, one in RULES.items() if one.test.__module__ == dss.__name__} == set(BROKEN)
