"""One departure for each rule on fallback and resets; what falls back as it should breaks none."""

import copy

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import ACK, FIN, AddAddr, Dss, MpFail, MpTcprst
from mbtest.wire.keys import add_addr_hmac
from tests.observe.conversation import IDSN, KEYS, MASK_64, Talk

BAD = b"another octet where one was, and a few more of them"
WITHOUT_DATA_ACK = {"data_ack": None, "data_ack_64": False}


def infinite(talk: Talk, *, data: int | None = None, start: int | None = None, who: str = "client",
             flow: int = 0, payload: bytes = b"x", flags: int = ACK, **over) -> Talk:  # fmt: skip
    """An infinite mapping from the next octet, with one octet of data if nothing else is said."""
    offset = talk.stream[who] if data is None else data
    fields = {
        "dsn": (IDSN[who] + offset) & MASK_64, "dsn_64": True, "length": 0,
        "subflow_sequence": talk.flows[flow].next[who] if start is None else start,
        "checksum": 0 if talk.checksum else None,
    }  # fmt: skip
    talk.send(who, Dss(**{**fields, **over}), payload=payload, flags=flags, flow=flow)
    return talk


def failed(*, flows: int = 1) -> Talk:
    """Data from the client is changed on its way, so that its checksum is wrong for the server."""
    talk = Talk(checksum=True).established()
    for _ in range(flows - 1):
        talk.join()
        talk.wait(1)
    again(talk)
    return talk


def again(talk: Talk) -> None:
    """A mapping whose octets are changed on their way."""
    good = bytes(100)
    shadow = Talk(checksum=True)
    shadow.flows = [copy.deepcopy(talk.flows[0])]
    option = talk.dss("client", good)
    changed = shadow.send("client", option, payload=BAD + good[len(BAD) :], lost=True)
    talk.send("client", option, payload=good, arrives=changed)
    talk.stream["client"] += 100


def fail(offset: int, who: str = "client", **over) -> MpFail:
    """MP_FAIL of a number in `who`'s stream."""
    return MpFail((IDSN[who] + offset) & MASK_64, **over)


def answered() -> Talk:
    """The whole of a fallback: MP_FAIL each way, and an infinite mapping."""
    talk = failed()
    talk.ack("server", fail(101))
    talk.ack("client", fail(talk.stream["server"], "server"))
    return talk


def told(then) -> Talk:
    talk = failed()
    then(talk)
    return talk


def answered_after_reset() -> Talk:
    """MP_FAIL comes on the RST of the only subflow; the answer had left before the RST was taken."""
    talk = failed()
    talk.reset("server", fail(101), MpTcprst(6))
    talk.ack("client", fail(talk.stream["server"], "server"), flags=ACK)
    return talk


def overlapped(then: bool = True) -> Talk:
    """A mapping reaches back over octets that came before, and its receiver finds its checksum wrong."""
    talk = Talk(checksum=True).established()
    good = bytes(100)
    option = talk.dss("client", good)
    shadow = Talk(checksum=True)
    shadow.flows = [copy.deepcopy(talk.flows[0])]
    back = Dss(**{
        **{name: getattr(option, name) for name in option.__struct_fields__},
        "subflow_sequence": option.subflow_sequence - 8 * then,
    })  # fmt: skip
    changed = shadow.send("client", back, payload=good, lost=True)
    talk.send("client", option, payload=good, arrives=changed)
    talk.ack("server", fail(101))
    return talk


def unanswered(seconds: float) -> Talk:
    talk = failed()
    talk.ack("server", fail(101))
    return_to = talk.wait(seconds)
    return_to.send("server")
    return return_to


def untold(seconds: float) -> Talk:
    talk = failed().wait(seconds)
    talk.send("client", lost=True)
    return talk


def silent(*, then_dss: bool = False) -> Talk:
    talk = Talk().established()
    infinite(talk)
    talk.send("client", payload=b"y")
    if then_dss:
        talk.send("client", Dss(data_ack=talk.dss("client").data_ack, data_ack_64=True))
    return talk


def without_signal() -> Talk:
    talk = Talk().established()
    talk.send("client", payload=b"y")
    return talk


def mapping_after() -> Talk:
    talk = infinite(Talk().established())
    talk.stream["client"] += 1
    talk.data("client")
    return talk


def among_several(seconds: float = 1, *, data_on_the_other: bool = False) -> Talk:
    talk = Talk().established()
    flow = talk.join()
    talk.ack("client", flow=flow)
    talk.wait(seconds)
    if data_on_the_other:
        talk.reset("server", MpTcprst(6), flow=flow)
        infinite(talk)
        talk.send("client", payload=b"z", flow=flow)
    else:
        infinite(talk)
    return talk


def fail_without_reset() -> Talk:
    talk = failed(flows=2)
    talk.ack("server", fail(101))
    talk.ack("client", fail(talk.stream["server"], "server"))
    return talk


def causeless() -> Talk:
    talk = Talk().established()
    talk.ack("server", fail(101))
    talk.ack("client", fail(talk.stream["server"], "server"))
    return talk


def acked(*, later: bool) -> Talk:
    """What failed is Data ACKed. later: once MP_FAIL was answered."""
    talk = answered() if later else told(lambda talk: talk.ack("server", fail(101)))
    talk.ack("server", data_ack=(IDSN["client"] + 201) & MASK_64)
    if not later:
        talk.ack("client", fail(talk.stream["server"], "server"))
    return talk


def plain_after_failure(who: str) -> Talk:
    """A host sends data without options, and no infinite mapping before it, once MP_FAIL went each way.

    The server found the failure. Its data is Data ACKed with the infinite mapping that it is owed.
    """
    talk = answered()
    talk.send(who, payload=bytes(100))
    if who == "server":
        data_ack = (IDSN["server"] + talk.stream["server"] + 100) & MASK_64
        infinite(talk, data=101, start=101, data_ack=data_ack, data_ack_64=True)
    return talk


def unacked_after_failure() -> Talk:
    """Data comes with a mapping, and MP_FAIL went each way: nobody Data ACKs it."""
    talk = failed()
    talk.ack("server", fail(101))
    talk.data("server")
    talk.send("client", fail(101, "server"))
    talk.wait(9).send("server")
    return talk


def goes_on() -> Talk:
    talk = answered().wait(1)
    talk.data("client", lost=True)
    return talk


def data_ack_after(seconds: float) -> Talk:
    talk = infinite(Talk().established()).wait(seconds)
    talk.ack("server")
    return talk


def path_broken(data: int | None = None, *, seconds: float = 1, acked_nothing: bool = False) -> Talk:
    """The server's acknowledgement of the client's first data loses its Data ACK.

    data: the octet that the client then maps anew; None where it falls back. seconds: when it does.
    acked_nothing: whether a Data ACK of the IDSN plus one came before, with data of the server's.
    """
    talk = Talk().handshake()
    if acked_nothing:
        talk.data("server")
    talk.send("client", talk.capable(100), payload=bytes(100))
    talk.stream["client"] = talk.received["server"] = 101
    # A box takes the Data ACK away.
    shadow = Talk(one_point=True)
    shadow.flows = [copy.deepcopy(talk.flows[0])]
    talk.ack("server", arrives=shadow.send("server", lost=True))
    # Data that comes after it, and is acknowledged, shows that the client knows.
    talk.data("server", 1, **WITHOUT_DATA_ACK)
    talk.wait(seconds)
    if data is None:
        infinite(talk)
        talk.send("client", payload=b"y")
    else:
        talk.data("client", 9, dsn=(IDSN["client"] + data) & MASK_64)
    return talk


def unmapped_on_a_broken_path() -> Talk:
    """The client's first data gets no Data ACK, so that it becomes regular TCP, as the server's data is."""
    talk = path_broken()
    start = talk.flows[0].next["server"]
    short = talk.dss("server", bytes(100), length=50, subflow_sequence=start, **WITHOUT_DATA_ACK)
    talk.send("server", short, payload=bytes(100))
    talk.send("client")
    return talk


def reset_after_failure(*options, fin: bool = False) -> Talk:
    """fin: whether the server had ended the subflow when it resets it."""
    talk = failed(flows=2)
    if fin:
        talk.send("server", flags=FIN | ACK)
    talk.reset("server", *options)
    return talk


def untold_to_the_end() -> Talk:
    """The server delivers what failed its checksum, as regular TCP would, and closes."""
    talk = failed()
    talk.wait(0.2).send("server", flags=FIN | ACK)
    talk.send("client", flags=FIN | ACK)
    talk.send("server")
    return talk


def ends_in_regular_tcp() -> Talk:
    """MP_FAIL each way, and a FIN with an infinite mapping in place of a DATA_FIN."""
    talk = answered()
    infinite(talk, data=101, start=101, payload=b"", flags=FIN | ACK)
    return talk


def broken_kept(*, acked: bool) -> Talk:
    """The second half of some data comes without a mapping; the server goes on without options.

    acked: whether Data ACKs were exchanged before.
    """
    talk = Talk().established() if acked else Talk().handshake()
    start = talk.flows[0].next["client"]
    short = talk.dss("client", bytes(100), length=50, subflow_sequence=start) if acked else talk.capable(50)
    talk.send("client", short, payload=bytes(100))
    talk.send("server")
    return talk


def overtaken(*, by_a_copy: bool) -> Talk:
    """Data comes changed; the server acknowledges it without a Data ACK.

    by_a_copy: whether that is a copy without options, before the segment itself.
    """
    talk = Talk(checksum=True).established()
    option = talk.dss("client", bytes(100))
    shadow = Talk(one_point=True)
    shadow.flows = [copy.deepcopy(talk.flows[0])]
    changed = shadow.send("client", *(() if by_a_copy else (option,)), payload=BAD.ljust(100), lost=True)
    talk.send("client", option, payload=bytes(100), arrives=changed)
    if by_a_copy:
        talk.send("client", option, payload=bytes(100), seq=101)
    talk.send("server")
    talk.wait(9).send("client", lost=True)
    return talk


def just_joined() -> Talk:
    talk = Talk().established()
    talk.join()
    return infinite(talk)


def acks_after(*, seconds: float, later: int) -> Talk:
    """The server Data ACKs after the client's infinite mapping. later: octets that it acknowledges beyond."""
    talk = infinite(Talk().established())
    if later:
        talk.send("client", payload=bytes(later))
    talk.wait(seconds)
    talk.ack("server")
    return talk


def goes_bare_as_its_peer(*, first: bool) -> Talk:
    """The server's data comes without a mapping, so the client goes on as regular TCP. first: at once."""
    talk = Talk().handshake()
    if not first:
        talk.send("client", talk.capable(200), payload=bytes(100))
    bare = Talk().handshake()
    bare.flows[0].got["server"] = talk.flows[0].got["server"]
    payload = bytes(100)
    talk.send("server", talk.dss("server", payload), payload=payload,
              arrives=bare.send("server", payload=payload, lost=True))  # fmt: skip
    talk.send("client", payload=payload)
    return talk


def announces_after() -> Talk:
    talk = silent()
    address = __import__("ipaddress").ip_address("198.18.2.2")
    hmac = add_addr_hmac(KEYS["client"], KEYS["server"], 1, address, 0)
    talk.send("client", AddAddr(1, address, None, hmac))
    return talk


BROKEN = {
    "fallback.dss-after": lambda: silent(then_dss=True),
    "fallback.mapping-after-infinite": mapping_after,
    "fallback.infinite-checksum": lambda: infinite(Talk(checksum=True).established(), checksum=5),
    "fallback.infinite-moved": lambda: infinite(infinite(Talk().established()), data=7),
    "fallback.infinite-start": lambda: infinite(
        (talk := Talk().established(), talk.data("client", lost=True))[0], data=105, start=101
    ),
    "fallback.infinite-beyond": lambda: infinite(Talk().established(), data=500),
    "fallback.infinite-among-several": among_several,
    "fallback.one-subflow": lambda: among_several(data_on_the_other=True),
    "fallback.signalled": without_signal,
    "fallback.fail-answered": lambda: unanswered(3),
    "fallback.failure-told": lambda: untold(3),
    "fallback.failure-reset": lambda: reset_after_failure(MpTcprst(6)),
    "fallback.fail-among-several": fail_without_reset,
    "fallback.fail-dsn": lambda: told(lambda talk: talk.ack("server", fail(150))),
    "fallback.fail-cause": causeless,
    "fallback.failed-acked": lambda: acked(later=False),
    "fallback.failed-acked-later": lambda: acked(later=True),
    "fallback.after-fail": goes_on,
    "fallback.data-ack-after": lambda: data_ack_after(1),
    "fallback.path-broken": lambda: path_broken(101),
    "fallback.fail-reserved": lambda: told(lambda talk: talk.ack("server", fail(101, reserved=1))),
    "fallback.signals-after": announces_after,
    "fallback.broken-kept": lambda: broken_kept(acked=True),
}
FOLLOWED = {
    "MP_FAIL each way": answered,
    "an answer to MP_FAIL on a RST": answered_after_reset,
    "MP_FAIL for a mapping that reaches back": overlapped,
    "and an infinite mapping": lambda: infinite(answered(), data=101, start=101),
    "by an infinite mapping": silent,
    "with a checksum of zero": lambda: infinite(Talk(checksum=True).established()),
    "sent again": lambda: infinite(infinite(Talk().established()), data=101, start=101),
    "among several, by a RST": lambda: reset_after_failure(fail(101), MpTcprst(6)),
    "answered in time": lambda: unanswered(1),
    "told in time": lambda: untold(1),
    "a Data ACK on its way": lambda: data_ack_after(0),
    "regular TCP, as first data lacks mappings": lambda: broken_kept(acked=False),
    "an infinite mapping, and a join that is not known to have worked": just_joined,
    "a Data ACK that had left before the infinite mapping was read": lambda: acks_after(seconds=0.9, later=0),
    "a RST after the FIN": lambda: reset_after_failure(fin=True),
    "a FIN with an infinite mapping": ends_in_regular_tcp,
    "regular TCP, as the peer's first data": lambda: goes_bare_as_its_peer(first=True),
    "regular TCP, as the peer's data, in the midst of a mapping": lambda: goes_bare_as_its_peer(first=False),
    "a path that loses options": path_broken,
    "regular TCP of who found the failure, and a Data ACK of that": lambda: plain_after_failure("server"),
    "no Data ACK after MP_FAIL each way": unacked_after_failure,
    "new data that had its mapping before the path was known to be broken": lambda: path_broken(
        101, seconds=0
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_a_data_ack_beside_an_acknowledgement_of_what_came_later_is_one_too_many():
    assert acks_after(seconds=0, later=10).broken() == {"fallback.data-ack-after"}


@pytest.mark.parametrize("acked_nothing", [False, True])
def test_data_that_is_mapped_anew_on_a_broken_path_did_not_wait_there(acked_nothing):
    talk = path_broken(1, seconds=0, acked_nothing=acked_nothing)
    assert talk.broken() == {"fallback.path-broken"}


def test_who_has_to_fall_back_need_not_reset_the_subflow_for_data_without_a_mapping():
    assert "fallback.broken-kept" not in unmapped_on_a_broken_path().broken()


def test_each_rule_has_a_departure():
    assert {name for name in RULES if name.startswith("fallback.")} == set(BROKEN)
