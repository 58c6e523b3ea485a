"""One departure for each rule on DSS; the transfer without it breaks none."""

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import ACK, RST, SYN, URG, Dss, MpCapable, MpJoinAck, MpPrio
from tests.observe.conversation import IDSN, KEYS, MASK_64, SYN_OPTIONS, Talk


def talk(*, checksum: bool = False) -> Talk:
    return Talk(checksum=checksum).established()


def data(sums: bool = False, *, who: str = "client", **over) -> Talk:
    conversation = talk(checksum=sums)
    conversation.data(who, **over)
    return conversation


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


def changed() -> Talk:
    conversation = talk()
    conversation.data("client", lost=True)
    conversation.data("client", seq=101, subflow_sequence=101, dsn=(IDSN["client"] + 500) & MASK_64)
    return conversation


def never_acked(seconds: float) -> Talk:
    conversation = talk()
    conversation.data("client")
    conversation.send("server")
    conversation.wait(seconds).ack("client")
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


def on_backup(*, busy: bool) -> Talk:
    conversation = talk()
    flow = conversation.open()
    conversation.send("client", *SYN_OPTIONS, conversation.join_syn(flow), flags=SYN, flow=flow)
    conversation.send(
        "server", *SYN_OPTIONS, conversation.join_answer(flow, flags=1), flags=SYN | ACK, flow=flow
    )
    conversation.send("client", MpJoinAck(conversation.proof("client", flow)[:20]), flow=flow)
    conversation.ack("server", flow=flow)
    if busy:
        conversation.data("client", lost=True)
    conversation.data("client", flow=flow)
    return conversation


def two() -> Talk:
    conversation = talk()
    conversation.data("client", more=(Dss(data_ack=conversation.dss("client").data_ack, data_ack_64=True),),
                      dsn_64=False, dsn=(IDSN["client"] + 101) & 0xFFFF_FFFF)  # fmt: skip
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


BROKEN = {
    "dss.first-data-ack": bare_first_ack,
    "dss.mapping-changed": changed,
    "dss.checksum-present": lambda: data(True, checksum=None),
    "dss.checksum-unasked": lambda: data(False, checksum=7),
    "dss.checksum-right": lambda: data(True, checksum=7),
    "dss.checksum-of-fin": lambda: data(True, payload=b"", fin=True, checksum=7),
    "dss.same-checksum": other_checksum,
    "dss.reserved": lambda: data(reserved=1),
    "dss.wide-data-ack": lambda: data_ack(201, wide=False),
    "dss.data-ack-backwards": back,
    "dss.data-ack-beyond": hole,
    "dss.data-acked": lambda: never_acked(4),
    "dss.mapping-on-each": unmapped_at_first,
    "dss.no-mapping": unmapped_join,
    "dss.empty": lambda: data(mapped=False, data_ack=None, data_ack_64=False, payload=b""),
    "dss.fin-alone": lambda: fin(subflow_sequence=101),
    "dss.fin-mapped": lambda: data(mapped=False, payload=b"", data_fin=True),
    "dss.fin-moved": lambda: fin_then(payload=b"", fin=True),
    "dss.after-fin": fin_then,
    "dss.fin-inside": lambda: fin(dsn=(IDSN["client"] + 50) & MASK_64),
    "dss.urgent": lambda: data(flags=ACK | URG, urgent=5),
    "dss.window-shrinks": lambda: window(1_000, 900),
    "dss.beyond-window": lambda: beyond(10, 2_000),
    "dss.backup": lambda: on_backup(busy=False),
    "dss.two": two,
    "dss.before-keys": early_data_ack,
}  # fmt: skip
SEVERAL = {
    "dss.data-ack-unsent": (lambda: data_ack(301), {"dss.data-ack-beyond"}),
    "dss.data-ack-below": (lambda: data_ack(-5), {"dss.data-ack-backwards"}),
}
"""What breaks one of these breaks a wider rule as well."""
FOLLOWED = {
    "checksums": lambda: data(True, size=101),
    "a lone DATA_FIN": fin,
    "a DATA_FIN with data": lambda: data(True, fin=True),
    "32 bits": lambda: data(dsn=(IDSN["client"] + 101) & 0xFFFF_FFFF, dsn_64=False),
    "a window that scaling rounds off": lambda: window(1_000, 1_000),
    "a probe": lambda: beyond(10, 1_181),
    "a backup while the other waits": lambda: on_backup(busy=True),
    "a Data ACK in time": lambda: never_acked(1),
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


@pytest.mark.parametrize("name", SEVERAL)
def test_a_departure_that_a_wider_rule_has_as_well(name):
    make, others = SEVERAL[name]
    assert make().broken() == {name, *others}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_a_data_fin_may_be_sent_again():
    assert lone_fin_again().judged() == []


def test_a_window_may_close_on_a_rst():
    conversation = talk()
    conversation.send("server", conversation.dss("server"), flags=RST | ACK, window=0)
    assert conversation.judged() == []


def test_each_rule_has_a_departure():
    assert {name for name in RULES if name.startswith("dss.")} == {*BROKEN, *SEVERAL}
