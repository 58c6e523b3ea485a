"""One departure for each rule on how connections end; what closes as it should breaks none."""

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import ACK, FIN, RST, SYN, MpFastclose, MpTcprst
from tests.observe.conversation import IDSN, KEYS, MASK_64, SYN_OPTIONS, Talk


def fastclose(key: int = KEYS["server"], **over) -> Talk:
    talk = Talk().established()
    talk.ack("client", MpFastclose(key, **over))
    return talk


def answered(seconds: float, *, resets: bool) -> Talk:
    talk = fastclose()
    talk.wait(seconds)
    if resets:
        talk.reset("server")
    else:
        talk.wait(1).send("client")
    return talk


def data_after() -> Talk:
    talk = fastclose()
    talk.reset("server")
    talk.data("client", lost=True)
    return talk


def fin_too_early(*, acked: bool) -> Talk:
    talk = Talk().established()
    talk.data("client")
    if acked:
        talk.ack("server")
    talk.ack("client", flags=FIN | ACK)
    return talk


def unclosed(seconds: float) -> Talk:
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True)
    talk.ack("server")
    talk.data("server", payload=b"", fin=True)
    talk.ack("client")
    talk.ack("client", flags=FIN | ACK)
    talk.wait(seconds).ack("client")
    return talk


def fin_unacked(seconds: float) -> Talk:
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True)
    talk.wait(seconds).send("client")
    return talk


def join_after(seconds: float, *, late: bool = False) -> Talk:
    """A join after both DATA_FINs. late: the Data ACK of the client's is on a segment that TCP drops."""
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True)
    if late:
        talk.data("server", fin=True, data_ack=(IDSN["client"] + talk.received["server"] - 1) & MASK_64)
        talk.ack("server", seq=talk.flows[0].next["server"] - 100)
    else:
        talk.ack("server")
        talk.data("server", payload=b"", fin=True)
    talk.ack("client")
    talk.wait(seconds)
    flow = talk.open()
    talk.send("client", *SYN_OPTIONS, talk.join_syn(flow), flags=SYN, flow=flow)
    return talk


def reset(*options) -> Talk:
    talk = Talk().established()
    talk.reset("client", *options)
    return talk


def fin_with_data_fin(*, busy: bool, again: bool = False) -> Talk:
    """busy: whether the other subflow has data outstanding. again: and it has come on this one as well."""
    talk = Talk().established()
    flow = talk.join()
    talk.data("client", lost=busy)
    if again:
        talk.data("client", flow=flow, dsn=(IDSN["client"] + 101) & MASK_64)
        talk.received["server"] = talk.stream["client"]
        talk.ack("server", flow=flow)
    elif not busy:
        talk.ack("server")
    talk.data("client", payload=b"", fin=True, flags=FIN | ACK, flow=flow)
    return talk


def repeats_data_fin() -> Talk:
    """The DATA_FIN comes once more beside the FIN of a subflow, with data outstanding on the other."""
    talk = Talk().established()
    flow = talk.join()
    talk.data("client", lost=True)
    talk.data("client", payload=b"", fin=True, flow=flow)
    talk.stream["client"] -= 1
    talk.data("client", payload=b"", fin=True, flags=FIN | ACK, flow=flow)
    return talk


def resets_a_join_at_the_end() -> Talk:
    """The third ACK of a join comes as the connection ends, and is answered by a RST."""
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True)
    talk.data("server", payload=b"", fin=True)
    flow = talk.join(until=3)
    talk.ack("client")
    talk.reset("server", flow=flow)
    return talk


def resets_at_the_end(*options, outstanding: bool = False) -> Talk:
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True)
    talk.ack("server")
    talk.data("server", payload=b"", fin=True)
    if outstanding:
        talk.data("client", lost=True, payload=bytes(50), dsn=IDSN["client"] + 1, subflow_sequence=101)
    talk.ack("client")
    talk.reset("client", *options)
    return talk


BROKEN = {
    "close.fin-loses-data": lambda: fin_too_early(acked=False),
    "close.fins": lambda: unclosed(6),
    "close.join-after": lambda: join_after(1),
    "close.fin-with-data-fin": lambda: fin_with_data_fin(busy=True),
    "close.fin-on-each": resets_at_the_end,
    "reset.flags": lambda: reset(MpTcprst(0, 2)),
    "reset.carrier": lambda: (talk := Talk().established(), talk.ack("client", MpTcprst(0)))[0],
    "reset.reason": lambda: reset(MpTcprst(7)),
    "fastclose.key": lambda: fastclose(5),
    "fastclose.reserved": lambda: fastclose(reserved=1),
    "fastclose.answered": lambda: answered(3, resets=False),
    "fastclose.data-after": data_after,
}
FOLLOWED = {
    "closed": lambda: Talk().established().exchange().close(),
    "closed, with checksums": lambda: Talk(checksum=True).established().exchange().close(),
    "FIN after all": lambda: fin_too_early(acked=True),
    "DATA_FIN and FIN, and nothing outstanding": lambda: fin_with_data_fin(busy=False),
    "DATA_FIN and FIN, and all Data ACKed": lambda: fin_with_data_fin(busy=True, again=True),
    "a FIN with the DATA_FIN once more": repeats_data_fin,
    "a RST of what has just joined": resets_a_join_at_the_end,
    "a RST for too much outstanding data": lambda: resets_at_the_end(MpTcprst(4)),
    "a RST where data is outstanding": lambda: resets_at_the_end(outstanding=True),
    "a RST with a reason": lambda: reset(MpTcprst(6, 1)),
    "fast close": lambda: answered(1, resets=True),
    "FINs on their way": lambda: unclosed(2),
    "a DATA_FIN a moment ago": lambda: fin_unacked(1),
    "a join that was under way at the end": lambda: join_after(0),
    "a join, and the last Data ACK came too late for TCP": lambda: join_after(1, late=True),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


def test_a_data_fin_that_is_never_acknowledged_is_data_as_well():
    assert fin_unacked(4).broken() == {"close.data-fin-acked", "dss.data-acked"}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_a_fin_while_another_subflow_goes_on():
    talk = Talk().established()
    talk.join()
    talk.data("client")
    talk.ack("client", flags=FIN | ACK)
    assert talk.judged() == []


def test_a_reset_of_the_connection_leaves_nothing_owed():
    talk = Talk().established()
    talk.data("client")
    talk.send("client", flags=RST | ACK)
    assert talk.wait(9).judged() == []


def test_each_rule_has_a_departure():
    names = {name for name in RULES if name.startswith(("close.", "fastclose.", "reset."))}
    assert names == {*BROKEN, "close.data-fin-acked"}
