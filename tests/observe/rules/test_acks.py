"""One departure for each rule on Data ACKs and windows; the transfer without it breaks none."""

import pytest

from mbtest.observe.rules import RULES, acks
from mbtest.wire import ACK, RST, SYN, Dss, MpCapable, MpJoinAck, MpPrio
from tests.observe.conversation import IDSN, KEYS, MASK_64, SYN_OPTIONS, Talk


def talk() -> Talk:
    return Talk().established()


def data_ack(offset: int, *, wide: bool = True, sent: int = 100) -> Talk:
    """The server Data ACKs up to an offset; that many octets arrived, and have 101 to 100 + sent."""
    conversation = talk()
    conversation.data("client", sent)
    mask = MASK_64 if wide else 0xFFFF_FFFF
    conversation.ack("server", data_ack=(IDSN["client"] + offset) & mask, data_ack_64=wide)
    return conversation


def hole() -> Talk:
    conversation = talk()
    conversation.data("client", lost=True)
    conversation.data("client")
    conversation.ack("server", ack=101)
    return conversation


def back() -> Talk:
    conversation = data_ack(201)
    conversation.ack("server", data_ack=(IDSN["client"] + 101) & MASK_64)
    return conversation


def never_acked(seconds: float) -> Talk:
    conversation = talk()
    conversation.data("client")
    conversation.send("server")
    conversation.wait(seconds).ack("client")
    return conversation


def window(*sizes: int) -> Talk:
    conversation = talk()
    for size in sizes:
        conversation.ack("server", window=size)
    return conversation


def beyond(most: int, size: int) -> Talk:
    """A data window of `most` octets, while that of the subflow is wider."""
    conversation = Talk()
    conversation.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    conversation.send("server", *SYN_OPTIONS, MpCapable(1, KEYS["server"]), flags=SYN | ACK, window=2_000)
    conversation.send("client", conversation.capable())
    payload = bytes(100)
    conversation.send("client", conversation.capable(100), payload=payload)
    conversation.stream["client"] = conversation.received["server"] = 101
    conversation.ack("server", window=most)
    conversation.send("server", MpPrio(), window=1_000)
    sent = 0
    while sent < size:
        conversation.data("client", min(1_000, size - sent), lost=True)
        sent += min(1_000, size - sent)
    return conversation


def beyond_on_a_subflow(size: int) -> Talk:
    """Data on a joined subflow that shows a window of 100 octets; that of the first is wider."""
    conversation = talk()
    flow = conversation.open()
    conversation.send("client", *SYN_OPTIONS, conversation.join_syn(flow), flags=SYN, flow=flow)
    answer = conversation.join_answer(flow)
    conversation.send("server", *SYN_OPTIONS, answer, flags=SYN | ACK, flow=flow, window=100)
    conversation.send("client", MpJoinAck(conversation.proof("client", flow)[:20]), flow=flow)
    conversation.send("server", MpPrio(), flow=flow, window=0)
    conversation.data("client", size, flow=flow, lost=True)
    return conversation


def early_data_ack() -> Talk:
    conversation = Talk().handshake(until=2)
    conversation.send("client", conversation.capable(), lost=True)
    conversation.send("server", Dss(data_ack=1, data_ack_64=True))
    return conversation


def bare_first_ack() -> Talk:
    conversation = Talk().handshake()
    conversation.send("client", conversation.capable(100), payload=bytes(100))
    conversation.send("server")
    return conversation


def bare_second_ack() -> Talk:
    """Half of a mapping is acknowledged beside a Data ACK that has nothing to tell, the rest without one."""
    conversation = Talk(checksum=True).handshake()
    payload = bytes(100)
    option = conversation.dss("client", payload)
    first = conversation.capable(100, option.checksum)
    conversation.send("client", first, payload=payload[:50])
    conversation.ack("server", data_ack=(IDSN["client"] + 1) & MASK_64)
    conversation.send("client", option, payload=payload[50:])
    conversation.send("server")
    return conversation


def bare_without_proof() -> Talk:
    """The third ACK loses MP_CAPABLE: the listener becomes regular TCP, whatever the first data has."""
    conversation = Talk().handshake(until=2)
    bare = Talk(one_point=True).handshake(until=2).send("client", lost=True)
    conversation.send("client", conversation.capable(), arrives=bare)
    conversation.send("client", conversation.capable(100), payload=bytes(100))
    conversation.send("server")
    return conversation


def bare_after_doubt(**over) -> Talk:
    """MP_CAPABLE reaches the listener changed: it has to become regular TCP."""
    conversation = Talk().handshake(until=2)
    shadow = Talk().handshake(until=2)
    fields = {"flags": 1, "sender_key": KEYS["client"], "receiver_key": KEYS["server"]}
    changed = shadow.send("client", MpCapable(**{**fields, **over}), lost=True)
    conversation.send("client", conversation.capable(), arrives=changed)
    conversation.send("client", conversation.capable(100), payload=bytes(100))
    conversation.send("server")
    return conversation


def fin_added(*, lost: bool) -> Talk:
    """A mapping is sent again with a DATA_FIN, and the DATA_FIN is Data ACKed."""
    conversation = talk()
    payload = bytes(100)
    first = conversation.dss("client", payload)
    conversation.send("client", first, payload=payload[:50], lost=lost)
    conversation.send("client", first, payload=payload[50:])
    if lost:
        conversation.send("client", first, payload=payload[:50], seq=101)
    again = {name: getattr(first, name) for name in first.__struct_fields__}
    again |= {"length": 101, "data_fin": True}
    conversation.send("client", Dss(**again), payload=payload[50:], seq=151)
    conversation.received["server"] = 202
    conversation.flows[0].got["server"] = 201
    conversation.ack("server")
    return conversation


def made_up(**over) -> Talk:
    """A mapping of 64 bits reaches the server on an empty ACK, as a box made it; then it Data ACKs in 32."""
    conversation = talk()
    shadow = Talk(one_point=True).established()
    fields = {"dsn": IDSN["client"] + 101, "dsn_64": True, "subflow_sequence": 101, "length": 100, **over}
    mapped = shadow.send("client", Dss(**fields), lost=True)
    conversation.ack("client", arrives=mapped)
    low = (IDSN["client"] + 101) & 0xFFFF_FFFF
    conversation.ack("server", data_ack=low, data_ack_64=False)
    return conversation


BROKEN = {
    "dss.first-data-ack": bare_first_ack,
    "dss.wide-data-ack": lambda: data_ack(201, wide=False),
    "dss.data-ack-backwards": back,
    "dss.data-ack-beyond": hole,
    "dss.data-acked": lambda: never_acked(4),
    "dss.window-shrinks": lambda: window(1_000, 900),
    "dss.beyond-window": lambda: beyond(10, 2_000),
    "dss.beyond-subflow-window": lambda: beyond_on_a_subflow(102),
    "dss.before-keys": early_data_ack,
}
SEVERAL = {
    "dss.data-ack-unsent": (lambda: data_ack(301), {"dss.data-ack-beyond"}),
    "dss.data-ack-below": (lambda: data_ack(-5), {"dss.data-ack-backwards"}),
}
"""What breaks one of these breaks a wider rule as well."""
FOLLOWED = {
    "a window that scaling rounds off": lambda: window(1_000, 1_000),
    "a probe": lambda: beyond(10, 1_181),
    "a probe on a subflow": lambda: beyond_on_a_subflow(101),
    "a Data ACK in time": lambda: never_acked(1),
    "no Data ACK, as the third ACK had no MP_CAPABLE": bare_without_proof,
    "no Data ACK, as another key came back": lambda: bare_after_doubt(receiver_key=1),
    "no Data ACK, as flag A was set on the way": lambda: bare_after_doubt(flags=0x81),
    "no Data ACK, as the version changed": lambda: bare_after_doubt(version=2),
    "no Data ACK, as flag B was set on the way": lambda: bare_after_doubt(flags=0x41),
    "no Data ACK, as flag H was cleared on the way": lambda: bare_after_doubt(flags=0),
    "no second Data ACK of nothing": bare_second_ack,
    "a DATA_FIN that a repeated mapping adds": lambda: fin_added(lost=False),
    "a DATA_FIN beyond a hole that was filled": lambda: fin_added(lost=True),
    "32 bits, where a mapping of 64 came without its data": made_up,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", SEVERAL)
def test_a_departure_that_a_wider_rule_has_as_well(name):
    make, others = SEVERAL[name]
    assert make().broken() == {name, *others}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_a_window_may_close_on_a_rst():
    conversation = talk()
    conversation.send("server", conversation.dss("server"), flags=RST | ACK, window=0)
    assert conversation.judged() == []


def test_each_rule_has_a_departure():
    names = {name for name, one in RULES.items() if one.test.__module__ == acks.__name__}
    assert names == {*BROKEN, *SEVERAL}
