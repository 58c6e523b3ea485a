"""Which conditions a segment meets, and that rules are asked about no others."""

import pytest

from mbtest.observe.mappings import Mapping
from mbtest.observe.moment import Moment
from mbtest.observe.rules import RULES, Rulebook
from mbtest.observe.rules import conditions as c
from mbtest.wire import ACK, FIN, URG, MpFail, MpPrio, Timestamps, WindowScale
from tests.observe.conversation import IDSN, Talk


class Asked:
    """Keeps the conditions of each segment that a host sent."""

    def __init__(self) -> None:
        self.met: list[int] = []

    def sent(self, host: object, moment: Moment) -> None:
        self.met.append(c.conditions(moment, exact=True))

    def checked(self, host: object, moment: Moment, mapping: Mapping) -> None:
        """Not asked about."""


def last(talk: Talk) -> int:
    """The conditions of the last segment."""
    asked = Asked()
    talk.traced(asked)
    return asked.met[-1]


def sent(**how) -> Talk:
    talk = Talk().established()
    talk.send("client", *how.pop("options", ()), **how)
    return talk


def data(**how) -> Talk:
    talk = Talk().established()
    talk.data("client", **how)
    return talk


def joined() -> Talk:
    talk = Talk().established()
    talk.join(until=3)
    return talk


def backup() -> Talk:
    talk = Talk().established()
    talk.ack("client", MpPrio(1))
    talk.data("server")
    return talk


def ended() -> Talk:
    talk = data(fin=True)
    talk.ack("client")
    return talk


def failed() -> Talk:
    talk = Talk().established()
    talk.ack("server", MpFail(IDSN["client"] + 101))
    talk.ack("client")
    return talk


PLAIN = c.LATER | c.UNSTAMPED | c.INITIAL | c.EXACT
MET = {
    "an ACK": (sent, PLAIN | c.BARE | c.NO_DSS),
    "a Data ACK": (lambda: (talk := Talk().established(), talk.ack("client"))[0],
                   PLAIN | c.OPTIONS | c.DATA_ACK),
    "data": (data, PLAIN | c.DATA | c.OPTIONS | c.MAPPING | c.DATA_ACK),
    "data once more": (lambda: data(seq=1), PLAIN | c.DATA | c.AGAIN | c.OPTIONS | c.MAPPING | c.DATA_ACK),
    "urgent data": (lambda: data(flags=ACK | URG),
                    PLAIN | c.DATA | c.URGENT | c.OPTIONS | c.MAPPING | c.DATA_ACK),
    "a DATA_FIN": (lambda: data(payload=b"", fin=True),
                   PLAIN | c.OPTIONS | c.MAPPING | c.DATA_FIN | c.DATA_ACK),
    "an infinite mapping": (lambda: data(length=0),
                            PLAIN | c.DATA | c.OPTIONS | c.MAPPING | c.INFINITE | c.DATA_ACK),
    "after a DATA_FIN": (ended, PLAIN | c.OPTIONS | c.DATA_ACK | c.ENDING),
    "after MP_FAIL": (failed, PLAIN | c.OPTIONS | c.DATA_ACK | c.TROUBLED),
    "a FIN": (lambda: sent(flags=FIN | ACK), PLAIN | c.ON_FIN | c.BARE | c.NO_DSS),
    "timestamps": (lambda: sent(options=(Timestamps(1, 2),)),
                   PLAIN & ~c.UNSTAMPED | c.STAMPED | c.BARE | c.NO_DSS),
    "an option of SYNs": (lambda: sent(options=(WindowScale(1),)), PLAIN | c.BARE | c.NO_DSS | c.OF_SYNS),
    "two options": (lambda: sent(options=(MpPrio(), MpPrio())), PLAIN | c.OPTIONS | c.SEVERAL | c.NO_DSS),
    "a SYN": (lambda: Talk().handshake(until=1),
              c.ON_SYN | c.OPTIONS | c.NO_DSS | c.UNSTAMPED | c.OF_SYNS | c.INITIAL | c.EARLY | c.EXACT),
    "a join": (joined, PLAIN & ~c.INITIAL | c.JOINED | c.OPTIONS | c.NO_DSS),
    "on a backup": (backup, PLAIN | c.DATA | c.OPTIONS | c.MAPPING | c.DATA_ACK | c.BACKUP),
}  # fmt: skip


@pytest.mark.parametrize("name", MET)
def test_a_segment_meets_its_conditions(name):
    make, met = MET[name]
    assert last(make()) == met


def test_a_rule_is_asked_where_all_of_its_conditions_are_met():
    asked: list[int] = []
    one = RULES["tcp.gap"]._replace(on=c.DATA | c.AGAIN, test=lambda host, m: asked.append(m.frame))
    data(seq=1).traced(Rulebook(iter([one])))
    talk = data(seq=1)
    assert asked == [frame for frame, _, _, side, sender, _ in talk.frames if side == sender][-1:]
