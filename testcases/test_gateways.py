"""Gateways that read the data and change it, and accidents that change it once."""

from __future__ import annotations

from ipaddress import IPv4Address

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    MUST,
    SERVER,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    Aim,
    AnswersMpFail,
    Direction,
    Fallback,
    FellBack,
    Interfered,
    Middlebox,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Sends,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import MpFail
from middleboxes.duplicate import DuplicateSegments
from middleboxes.ftp import TranslateFtp
from middleboxes.http import InsertHttpHeader
from middleboxes.nat import TranslateAddresses
from middleboxes.rewrite_payload import RewritePayload

FAILS = ("RFC8684-3.7/mp-fail", "RFC8684-3.7/infinite-mapping", "RFC8684-3.7/fallback-keeps-data")
RESETS = ("RFC8684-3.7/mp-fail-rst", "RFC8684-3.7/failed-data-resent")
EVERYWHERE = "RFC8684-6/content-altered-everywhere"
UNNOTICED = ("RFC8684-3.7/no-checksum-no-detection", "RFC8684-6/unmapped-data")
TWO_PATHS = "dual-homed-client"
SIZE = 96 * KIB

FTP = {
    "port": (TO_SERVER, b"PORT 192,0,2,1,19,137\r\nRETR a\r\n"),
    "extended-port": (TO_SERVER, b"EPRT |1|192.0.2.1|5001|\r\nRETR a\r\n"),
    "passive": (TO_CLIENT, b"227 Entering Passive Mode (192,0,2,1,19,137).\r\n"),
}
"""Lines of a control channel that tell an address, and who hears them."""
HTTP = {
    "request": (TO_SERVER, b"POST /a HTTP/1.1\r\nHost: example.net\r\nContent-Length: 98304\r\n\r\n"),
    "answer": (TO_CLIENT, b"HTTP/1.1 200 OK\r\nServer: example\r\nContent-Length: 98304\r\n\r\n"),
}


def dialogue(direction: Direction, line: bytes) -> Workload:
    """Four times a KiB from either host in turn; a line of FTP is in the second KiB of a direction."""
    text = b"NOOP  \r\n" * 128 + line
    begins = (text, b"") if direction is TO_SERVER else (b"", text)
    return Workload(
        shape="rounds",
        rounds=4,
        client_sends=4 * KIB,
        client_begins=begins[0],
        server_sends=4 * KIB,
        server_begins=begins[1],
    )


def talk(direction: Direction, begins: bytes) -> Workload:
    """Four requests and answers; those of one direction are long, and begin with text."""
    if direction is TO_SERVER:
        return Workload(shape="rounds", rounds=4, client_sends=SIZE, client_begins=begins, server_sends=KIB)
    return Workload(shape="rounds", rounds=4, client_sends=KIB, server_sends=SIZE, server_begins=begins)


def became_tcp(session: Trial, box: type[Middlebox], direction: Direction) -> None:
    """MP_FAIL from the receiver, one in answer, an infinite mapping; then what regular TCP delivers."""
    up = direction is TO_SERVER
    session.require(Interfered(box))
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK)
    session.expect(AnswersMpFail(CLIENT) if up else AnswersMpFail(SERVER))
    session.expect(Sends(SERVER, MpFail) if up else Sends(CLIENT, MpFail))
    # Without a word of RFC 2119, and both know by MP_FAIL.
    session.expect(FellBack(Fallback.INFINITE_MAPPING), level=SHOULD)


def ended(session: Trial, box: type[Middlebox]) -> None:
    """Nothing is owed to data that was changed without checksums, but that no host waits for ever."""
    session.require(Interfered(box))
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET), level=SHOULD)


# -- What gateways do ---------------------------------------------------------------------------------------


@case(
    "ftp.{}",
    reads={"port": "PORT", "extended-port": "EPRT", "passive": "answer to PASV"},
    each=FTP,
    requires=FAILS,
    families=("v4",),
    checksums=(True,),
)
def test_ftp_gateway(run: RunFixture) -> None:
    """A gateway makes the address in FTP's {} longer: MP_FAIL, infinite mapping, regular TCP."""
    direction, line = run.value
    session = run(TranslateFtp(), workload=dialogue(direction, line))

    became_tcp(session, TranslateFtp, direction)


@case("ftp.without-checksums", requires=UNNOTICED, families=("v4",), level=MAY)
def test_ftp_gateway_without_checksums(run: RunFixture) -> None:
    """A gateway makes the address longer in FTP's PORT, and no checksum tells: mappings no longer fit."""
    ended(run(TranslateFtp(), workload=dialogue(*FTP["port"])), TranslateFtp)


@case("ftp.as-long", requires=UNNOTICED[0], families=("v4",), level=MAY)
def test_ftp_gateway_with_an_address_as_long(run: RunFixture) -> None:
    """A gateway puts in an address as long as the old one: without checksums nobody notices."""
    box = TranslateFtp(external_v4=IPv4Address("203.0.1.9"), aim=Aim(direction=TO_SERVER))
    session = run(box, workload=dialogue(*FTP["port"]))

    session.require(Interfered(TranslateFtp))
    session.expect(Unharmed())


@case("ftp.on-a-translator", requires=FAILS, families=("v4",), checksums=(True,))
def test_ftp_gateway_on_a_translator(run: RunFixture) -> None:
    """A home router translates addresses and, in FTP, the text as well: regular TCP after MP_FAIL."""
    session = run([TranslateAddresses(), TranslateFtp()], workload=dialogue(*FTP["port"]))

    became_tcp(session, TranslateFtp, TO_SERVER)


@case("ftp.on-both-paths", requires=EVERYWHERE, families=("v4",), checksums=(True,), topology=TWO_PATHS)
def test_ftp_gateway_on_both_paths(run: RunFixture) -> None:
    """A gateway on either path makes an address longer: one subflow goes, the other becomes regular TCP."""
    session = run(TranslateFtp(), workload=dialogue(*FTP["port"]))

    session.require(Interfered(TranslateFtp, at_least=2))
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK)


@case("http.{}", each=HTTP, requires=FAILS, families=("v4",), checksums=(True,))
def test_http_header_inserted(run: RunFixture) -> None:
    """A proxy inserts a header field into the {}: MP_FAIL, infinite mapping, regular TCP."""
    direction, begins = run.value
    session = run(InsertHttpHeader(), workload=talk(direction, begins))

    became_tcp(session, InsertHttpHeader, direction)


@case("http.without-checksums", requires=UNNOTICED, families=("v4",), level=MAY)
def test_http_header_inserted_without_checksums(run: RunFixture) -> None:
    """A proxy inserts a header field into a request, and no checksum tells: mappings no longer fit."""
    ended(run(InsertHttpHeader(), workload=talk(*HTTP["request"])), InsertHttpHeader)


@case(
    "gateway.{}",
    reads={
        "front": "puts a line in front of the stream",
        "cut-at-the-start": "cuts out the first octets",
        "cut-of-whole-segments": "cuts out whole segments",
        "page-replaced": "puts a shorter page in place of another",
    },
    each={
        "front": RewritePayload(at=0, put=b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n", cut=0),
        "cut-at-the-start": RewritePayload(at=0, put=b"", cut=16),
        "cut-of-whole-segments": RewritePayload(at=40_000, put=b"", cut=4000),
        "page-replaced": RewritePayload(at=30_000, put=b"<html>blocked</html>", cut=5000),
    },
    requires=FAILS,
    families=("v4",),
    checksums=(True,),
    waits=5,
)
def test_data_put_in_or_cut_out(run: RunFixture) -> None:
    """A gateway {}: MP_FAIL, infinite mapping, regular TCP."""
    session = run(run.value, sends=SIZE)

    became_tcp(session, RewritePayload, TO_SERVER)


@case(
    "gateway.joined-subflow-{}",
    reads={
        "front": "a line is put in front of the data",
        "cut-at-the-start": "the first octets are cut out",
        "cut-later": "later octets are cut out",
    },
    each={
        "front": {"at": 0, "put": b"PROXY TCP4 192.0.2.1\r\n", "cut": 0},
        "cut-at-the-start": {"at": 0, "put": b"", "cut": 16},
        "cut-later": {"at": 3000, "put": b"", "cut": 2000},
    },
    requires=RESETS,
    directions=BOTH_WAYS,
    checksums=(True,),
    topology="slow-first-path",
)
def test_data_put_in_or_cut_out_on_the_joined_subflow(run: RunFixture) -> None:
    """On the joined subflow {}: it is reset, the other brings the data."""
    box = RewritePayload(**run.value, aim=Aim(path=1, direction=run.direction))
    session = run(box, sends=384 * KIB)

    went_elsewhere(run, session)


def went_elsewhere(run: RunFixture, session: Trial) -> None:
    """The subflow is reset with MP_FAIL, and the other brings its data."""
    session.require(Interfered(RewritePayload))
    session.expect(NoFalseData())
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Sends(run.receiver, MpFail))


# -- Accidents ----------------------------------------------------------------------------------------------


@case(
    "once.{}",
    reads={
        "first-copy": "in its first copy only",
        "copy-after-a-loss": "only in the copy that follows a loss",
    },
    each={"first-copy": "first", "copy-after-a-loss": "resent"},
    requires=FAILS,
    families=("v4",),
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
)
def test_an_octet_is_changed_once(run: RunFixture) -> None:
    """An octet is changed {}: MP_FAIL, infinite mapping, regular TCP."""
    box = RewritePayload(at=40 * KIB, copies=run.value, aim=Aim(direction=run.direction))
    session = run(box, workload=talk(run.direction, b""))

    became_tcp(session, RewritePayload, run.direction)


@case(
    "once.later-copies", level=SHOULD, requires="RFC8684-3.3.1/first-copy-delivered", directions=BOTH_WAYS,
    checksums=(False, True),
)  # fmt: skip
def test_later_copies_are_changed(run: RunFixture) -> None:
    """Every segment comes twice, and the second copy has other octets: the first is what is delivered."""
    aim = Aim(direction=run.direction)
    boxes = [DuplicateSegments(aim=aim), RewritePayload(at=0, every=500, copies="later", aim=aim)]
    session = run(boxes if run.direction is TO_SERVER else boxes[::-1], sends=96 * KIB)

    session.require(Interfered(RewritePayload))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Unharmed(), level=MUST)
    session.expect(Outcome.MULTIPATH)


@case(
    "once.first-copy-on-the-first-path",
    lesson=("mptcp_net-next#265", "mptcp_net-next#491"),
    requires=RESETS,
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=TWO_PATHS,
)
def test_an_octet_is_changed_once_on_the_first_of_two_paths(run: RunFixture) -> None:
    """On the first of two paths an octet is changed once: its subflow is reset, the other carries on."""
    box = RewritePayload(at=16 * KIB, copies="first", aim=Aim(path=0, direction=run.direction))
    went_elsewhere(run, run(box, sends=384 * KIB))


@case(
    "once.{}-on-the-joined-subflow",
    reads={
        "first-copy": "in its first copy only",
        "copy-after-a-loss": "only in the copy that follows a loss",
    },
    each={"first-copy": "first", "copy-after-a-loss": "resent"},
    requires=RESETS,
    directions=BOTH_WAYS,
    checksums=(True,),
    topology="slow-first-path",
)
def test_an_octet_is_changed_once_on_the_joined_subflow(run: RunFixture) -> None:
    """On the joined subflow an octet is changed {}: it is reset, the other carries on."""
    box = RewritePayload(at=1000, copies=run.value, aim=Aim(path=1, direction=run.direction))
    went_elsewhere(run, run(box, sends=384 * KIB))
