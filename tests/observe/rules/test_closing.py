"""One departure for each rule on how connections end; what closes as it should breaks none."""

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import ACK, FIN, RST, SYN, MpFastclose
from tests.observe.conversation import KEYS, SYN_OPTIONS, Talk


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


def join_after() -> Talk:
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True)
    talk.ack("server")
    talk.data("server", payload=b"", fin=True)
    talk.ack("client")
    flow = talk.open()
    talk.send("client", *SYN_OPTIONS, talk.join_syn(flow), flags=SYN, flow=flow)
    return talk


BROKEN = {
    "close.fin-loses-data": lambda: fin_too_early(acked=False),
    "close.fins": lambda: unclosed(6),
    "close.join-after": join_after,
    "fastclose.key": lambda: fastclose(5),
    "fastclose.reserved": lambda: fastclose(reserved=1),
    "fastclose.answered": lambda: answered(3, resets=False),
    "fastclose.data-after": data_after,
}
FOLLOWED = {
    "closed": lambda: Talk().established().exchange().close(),
    "closed, with checksums": lambda: Talk(checksum=True).established().exchange().close(),
    "FIN after all": lambda: fin_too_early(acked=True),
    "fast close": lambda: answered(1, resets=True),
    "FINs on their way": lambda: unclosed(2),
    "a DATA_FIN a moment ago": lambda: fin_unacked(1),
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
    names = {name for name in RULES if name.startswith(("close.", "fastclose."))}
    assert names == {*BROKEN, "close.data-fin-acked"}
