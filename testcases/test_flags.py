"""Version, flags and keys of MP_CAPABLE changed under way: what was tampered with becomes regular TCP.

What happens does not depend on the family of addresses: most cases take one, now this, now that.
"""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    MUST,
    SERVER,
    SHOULD,
    Aim,
    Checksums,
    Fallback,
    FellBack,
    Interfered,
    Kind,
    NoFalseData,
    NoMptcpOptions,
    NoSubflowOn,
    OneOf,
    Outcome,
    Role,
    RunFixture,
    Stage,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import MpCapable
from mbtest.wire.mptcp import CHECKSUM_REQUIRED, EXTENSIBILITY, HMAC_SHA256, NO_JOIN_TO_THIS_ADDRESS
from middleboxes.flip_bits import Field, FlipBits

THIRD_ACK = Kind.THIRD_ACK | Kind.DATA
"""The third ACK, and the first data, which says again what it said."""
SYNS = {"syn": Kind.SYN, "syn-ack": Kind.SYN_ACK}
STAGES = SYNS | {"third-ack": THIRD_ACK}
OTHER_ALGORITHMS = {"d": 0x10, "e": 0x08, "f": 0x04, "g": 0x02}
VERSIONS = {"2": 1 ^ 2, "15": 1 ^ 15}
TAMPERED = "RFC8684-3.1/compromised-handshake"
VERSION = "RFC8684-3.1/version-not-above-offer"
SECOND_PATH = "dual-homed-client"


def flip(field: Field, mask: int, kinds: Kind) -> FlipBits:
    """A box that flips bits of MP_CAPABLE on the initial subflow's segments of these kinds."""
    return FlipBits(field, mask, MpCapable, aim=Aim(kinds=kinds))


def became_tcp(session: Trial, first: Role | None = None) -> None:
    """Both hosts go on as regular TCP, and every octet is in its place. first: who alone can know that."""
    session.require(Interfered(FlipBits))
    session.expect(Outcome.FELL_BACK, who=first)
    session.expect(Unharmed(), who=first, level=MUST)


def became_tcp_at_once(session: Trial) -> None:
    """The same, before either host sent a mapping."""
    became_tcp(session)
    session.expect(FellBack(Fallback.IN_HANDSHAKE))


def went_on(session: Trial, *also: Outcome) -> None:
    """MPTCP or regular TCP, or one of these outcomes; every octet in its place."""
    session.require(Interfered(FlipBits))
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK, *also), level=MUST)
    session.expect(NoFalseData() if also else Unharmed(), level=MUST)


# -- Version -----------------------------------


@case("flags.version-0-on-{}", requires=VERSION, families=("v4",), directions=BOTH_WAYS, each=SYNS)
def test_version_0(run: RunFixture) -> None:
    """MP_CAPABLE on the {} says version 0: a host that knows version 1 alone becomes regular TCP."""
    became_tcp_at_once(run(flip("version", 1, run.value), sends=48 * KIB))


@case("flags.version-{}-offered", requires=VERSION, families=("v4",), each=VERSIONS)
def test_a_higher_version_is_offered(run: RunFixture) -> None:
    """The SYN offers version {}: the listener answers with a version of its own, or without MP_CAPABLE."""
    went_on(run(flip("version", run.value, Kind.SYN), sends=48 * KIB))


@case("flags.version-{}-answered", requires=(VERSION, TAMPERED), families=("v6",), each=VERSIONS)
def test_a_higher_version_is_answered(run: RunFixture) -> None:
    """The SYN/ACK says version {}, above the one that was offered: the initiator becomes regular TCP."""
    session = run(flip("version", run.value, Kind.SYN_ACK), sends=48 * KIB)

    became_tcp_at_once(session)
    session.expect(NoMptcpOptions(CLIENT, after=Stage.SYN_ACK))


@case("flags.version-on-third-ack", requires=TAMPERED, level=MAY, families=("v4",), directions=BOTH_WAYS)
def test_another_version_on_the_third_ack(run: RunFixture) -> None:
    """The third ACK says version 0 after 1 was agreed on: the listener may find that tampered with."""
    went_on(run(flip("version", 1, THIRD_ACK), sends=48 * KIB))


# -- Flags A to C -----------------------------------


@case(
    "flags.checksum-set-on-{}",
    requires=("RFC8684-3.1/checksum-if-either", "RFC8684-3.1/checksum-confirmed", TAMPERED),
    families=("v4",),
    directions=BOTH_WAYS,
    each=STAGES,
)
def test_flag_a_set(run: RunFixture) -> None:
    """Nobody asked for checksums, a box sets flag A on the {}: the hosts agree or part, and harm nothing."""
    went_on(run(flip("flags", CHECKSUM_REQUIRED, run.value), sends=48 * KIB), Outcome.RESET)


@case(
    "flags.checksum-cleared-on-{}",
    requires=("RFC8684-3.1/checksum-confirmed", TAMPERED),
    families=("v6",),
    directions=BOTH_WAYS,
    checksums=(True,),
    each=STAGES,
)
def test_flag_a_cleared(run: RunFixture) -> None:
    """Both hosts ask for checksums, a box clears flag A on the {}: they agree or part, and harm nothing."""
    went_on(run(flip("flags", CHECKSUM_REQUIRED, run.value), sends=48 * KIB), Outcome.RESET)


@case(
    "flags.checksum-asked-by-{}",
    each={"client": CLIENT, "server": SERVER},
    requires=("RFC8684-3.1/checksum-if-either", "RFC8684-3.3.1/checksum-when-negotiated"),
    lesson="mptcp_net-next#134",
    directions=BOTH_WAYS,
)
def test_one_host_asks_for_checksums(run: RunFixture) -> None:
    """The {} alone asks for checksums: every mapping of either host has one."""
    session = run(
        client_sends=32 * KIB,
        server_sends=32 * KIB,
        sysctls={f"{run.value}:net.mptcp.checksum_enabled": "1"},
        endpoint={run.value: {"checksum": True}},
    )

    session.expect(Checksums(used=True))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("flags.extensibility-on-{}", requires="RFC8684-3.1/flag-b-unknown", families=("v6",), each=SYNS)
def test_flag_b(run: RunFixture) -> None:
    """Flag B is set on the {}: MP_CAPABLE is ignored, and the connection is regular TCP."""
    became_tcp_at_once(run(flip("flags", EXTENSIBILITY, run.value), sends=48 * KIB))


@case(
    "flags.extensibility-on-third-ack",
    requires="RFC8684-3.1/flag-b-unknown",
    level=SHOULD,
    families=("v6",),
    directions=BOTH_WAYS,
)
def test_flag_b_on_the_third_ack(run: RunFixture) -> None:
    """Flag B is set on the third ACK: MP_CAPABLE is ignored there as well, and the server falls back."""
    became_tcp(run(flip("flags", EXTENSIBILITY, THIRD_ACK), sends=48 * KIB))


@case(
    "flags.no-joins-on-syn-ack",
    requires="RFC8684-3.1/flag-c-respected",
    directions=BOTH_WAYS,
    topology=SECOND_PATH,
)
def test_flag_c_set_on_the_syn_ack(run: RunFixture) -> None:
    """A box sets flag C on the SYN/ACK: the client joins nothing to the server's only address."""
    box = flip("flags", NO_JOIN_TO_THIS_ADDRESS, Kind.SYN_ACK)
    session = run(box, sends=256 * KIB, subflows=0)

    session.require(Interfered(FlipBits))
    session.expect(NoSubflowOn("c2-s1"))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "flags.no-joins-on-{}",
    requires=("RFC8684-3.1/flag-c-respected", "RFC8684-3.2/join"),
    families=("v4",),
    topology=SECOND_PATH,
    each={"syn": Kind.SYN, "third-ack": THIRD_ACK},
)
def test_flag_c_of_the_client(run: RunFixture) -> None:
    """A box sets flag C on the client's {}: that binds the server alone, and the client joins anyway."""
    session = run(flip("flags", NO_JOIN_TO_THIS_ADDRESS, run.value), sends=256 * KIB)

    session.require(Interfered(FlipBits))
    session.expect(Outcome.MULTIPATH)
    session.expect(Subflows(at_least=1))
    session.expect(Unharmed())


@case(
    "flags.no-joins-cleared",
    requires=("RFC8684-3.1/flag-c-respected", "RFC8684-3.2/refused-join-reset"),
    level=MAY,
    families=("v6",),
    topology=SECOND_PATH,
)
def test_flag_c_cleared(run: RunFixture) -> None:
    """The server sets flag C and a box clears it: the server may still refuse the client's join."""
    session = run(
        flip("flags", NO_JOIN_TO_THIS_ADDRESS, Kind.SYN_ACK),
        sends=256 * KIB,
        sysctls={"net.mptcp.allow_join_initial_addr_port": "0"},
        endpoint={"server": {"deny_join": True}},
    )

    session.require(Interfered(FlipBits))
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS), level=MUST)
    session.expect(Unharmed(), level=MUST)


# -- Flags D to H -----------------------------------


@case(
    "flags.algorithm-{}-offered",
    reads={"d": "D", "e": "E", "f": "F", "g": "G"},
    requires=("RFC8684-3.1/one-algorithm-chosen", "RFC8684-3.1/no-common-algorithm"),
    level=MAY,
    families=("v4",),
    each=OTHER_ALGORITHMS,
)
def test_another_algorithm_is_offered(run: RunFixture) -> None:
    """The SYN offers algorithm {} beside HMAC-SHA256: the listener may choose the one that it knows."""
    went_on(run(flip("flags", run.value, Kind.SYN), sends=48 * KIB))


@case(
    "flags.algorithms-answered",
    requires=("RFC8684-3.1/one-algorithm-chosen", TAMPERED),
    families=("v6",),
)
def test_two_algorithms_are_answered(run: RunFixture) -> None:
    """The SYN/ACK names two algorithms, one of them not offered: MPTCP or regular TCP, nothing lost."""
    went_on(run(flip("flags", OTHER_ALGORITHMS["g"], Kind.SYN_ACK), sends=48 * KIB))


@case(
    "flags.no-algorithm-on-{}",
    requires="RFC8684-3.1/no-algorithm",
    families=("v4",),
    directions=BOTH_WAYS,
    each=STAGES,
)
def test_no_algorithm(run: RunFixture) -> None:
    """Flags D to H are all 0 on the {}: MP_CAPABLE is invalid and ignored, so it is regular TCP."""
    became_tcp(run(flip("flags", HMAC_SHA256, run.value), sends=48 * KIB))


@case(
    "flags.unknown-algorithm-on-{}",
    requires=("RFC8684-3.1/no-common-algorithm", TAMPERED),
    families=("v6",),
    each=SYNS,
)
def test_unknown_algorithm(run: RunFixture) -> None:
    """The {} names algorithm G in place of HMAC-SHA256: nobody here has it, so it is regular TCP."""
    became_tcp_at_once(run(flip("flags", HMAC_SHA256 | OTHER_ALGORITHMS["g"], run.value), sends=48 * KIB))


# -- Keys -----------------------------------


@case(
    "flags.key-on-syn-ack",
    level=SHOULD,
    requires="RFC8684-3.1/wrong-echoed-key",
    families=("v4",),
    directions=BOTH_WAYS,
)
def test_key_flipped_on_the_syn_ack(run: RunFixture) -> None:
    """A bit of the listener's key is flipped on the SYN/ACK: another comes back, and MPTCP ends there."""
    became_tcp(run(flip("sender_key", 1 << 32, Kind.SYN_ACK), sends=48 * KIB), SERVER)


@case(
    "flags.echoed-key-on-third-ack",
    level=SHOULD,
    requires="RFC8684-3.1/wrong-echoed-key",
    families=("v6",),
    directions=BOTH_WAYS,
)
def test_echoed_key_flipped(run: RunFixture) -> None:
    """A bit of the listener's own key is flipped on its way back: the listener does not go on with MPTCP."""
    became_tcp(run(flip("receiver_key", 1 << 32, THIRD_ACK), sends=48 * KIB), SERVER)


@case("flags.key-on-third-ack", requires=TAMPERED, level=MAY, families=("v4",), directions=BOTH_WAYS, waits=3)
def test_key_flipped_on_the_third_ack(run: RunFixture) -> None:
    """A bit of the initiator's key is flipped, and data numbers no longer agree: nothing false is read."""
    session = run(flip("sender_key", 1 << 32, THIRD_ACK), sends=48 * KIB, patience=3)

    session.require(Interfered(FlipBits))
    session.expect(NoFalseData(), level=MUST, who=SERVER)
