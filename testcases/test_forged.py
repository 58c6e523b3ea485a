"""Resets, FINs and ICMP errors that a box forges: what is for one subflow must not harm the connection."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MILLISECOND,
    MUST,
    Aim,
    Interfered,
    Kind,
    NoFalseData,
    Outcome,
    RunFixture,
    Trial,
    Unharmed,
    case,
)
from middleboxes.challenge import ChallengeInexact
from middleboxes.delay import DelaySegments
from middleboxes.forge_end import ForgeEnd
from middleboxes.forge_errors import ForgeErrors

SUBFLOW_ONLY = ("RFC8684-3.5/rst-ends-subflow-only", "RFC8684-3.3.6/moved-off-failed-subflow")
FIN_ONLY = ("RFC8684-3.3.3/fin-ends-subflow-only", "RFC8684-3.3/one-stream")
LIVES_ON = "RFC8684-3.3.3/all-subflows-gone"
SOFT = "RFC9293-3.9.2.2/soft-error-survived"
BLIND = "RFC9293-3.10.7.4/blind-reset-refused"
TO = {"to-client": "client", "to-server": "server", "to-both": "both"}
THEM = {"to-client": "to the client", "to-server": "to the server", "to-both": "to both hosts"}
ROUND_ROBIN = {"scheduler": "round-robin"}
"""A server that opens no subflows may ask for no backup: its client uses both subflows then."""
GIVE_UP = {"net.mptcp.close_timeout": "1"}
"""How long Linux keeps a connection without subflows: seconds, 60 by default."""


def went_on(session: Trial, box: type[ForgeEnd | ForgeErrors]) -> None:
    """Every octet arrived, on however many subflows."""
    session.require(Interfered(box))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


# -- RST ------------------------------------------------------------------------------------------


@case(
    "forged.rst-initial-{}",
    reads=THEM,
    each=TO,
    requires=SUBFLOW_ONLY,
    directions=BOTH_WAYS,
    topology="dual-homed-client",
)
def test_reset_of_the_initial_subflow(run: RunFixture) -> None:
    """The initial subflow gets a forged RST, {}: the backup carries on, and nothing is lost."""
    box = ForgeEnd(to=run.value, aim=Aim(path=0, direction=run.direction, from_byte=16 * KIB))
    went_on(run(box, sends=96 * KIB, backup=True, patience=15, endpoint={"client": ROUND_ROBIN}), ForgeEnd)


@case(
    "forged.rst-joined-{}",
    reads=THEM,
    each=TO,
    requires=SUBFLOW_ONLY,
    directions=BOTH_WAYS,
    topology="slow-first-path",
)
def test_reset_of_the_joined_subflow(run: RunFixture) -> None:
    """The joined subflow, which carries most, gets a forged RST, {}: the initial one carries on."""
    box = ForgeEnd(to=run.value, aim=Aim(path=1, direction=run.direction, from_byte=64 * KIB))
    went_on(run(box, sends=384 * KIB), ForgeEnd)


@case(
    "forged.rst-before-join", requires=LIVES_ON, directions=BOTH_WAYS, topology="dual-homed-client", waits=1
)
def test_reset_before_the_join_arrives(run: RunFixture) -> None:
    """The only subflow is reset while a join is on its way: the connection goes on with that."""
    reset = ForgeEnd(delay=50 * MILLISECOND, aim=Aim(path=0, kinds=Kind.FIRST_DATA))
    late = DelaySegments(200 * MILLISECOND, aim=Aim(path=1))
    went_on(run([reset, late], sends=64 * KIB), ForgeEnd)


@case("forged.rst-only-{}", reads=THEM, each=TO, requires=LIVES_ON, level=MAY, directions=BOTH_WAYS, waits=3)
def test_reset_of_the_only_subflow(run: RunFixture) -> None:
    """The only subflow gets a forged RST, {}: a new one, or an error for the application after a while."""
    box = ForgeEnd(to=run.value, aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB, patience=3, sysctls=GIVE_UP)

    session.require(Interfered(ForgeEnd))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET, Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case(
    "forged.rst-{}",
    reads={
        "just-before": "just before the one expected",
        "just-behind": "just behind the one expected",
        "within-the-window": "elsewhere in the window",
        "far-outside": "far outside of the window",
    },
    each={"just-before": -1, "just-behind": 1, "within-the-window": 20_000, "far-outside": 2**30},
    requires=BLIND,
    directions=BOTH_WAYS,
)
def test_reset_with_another_number(run: RunFixture) -> None:
    """A forged RST whose number lies {} changes nothing."""
    box = ForgeEnd(shift=run.value, aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB)

    session.require(Interfered(ForgeEnd))
    # It is the only subflow, so that nothing would arrive if it were gone.
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case("forged.rst-challenged", requires=BLIND, directions=BOTH_WAYS)
def test_reset_that_a_neighbour_asks_about(run: RunFixture) -> None:
    """A strict neighbour drops RSTs that are off by one, and sends ACKs without DSS: MPTCP to the end."""
    forger = ForgeEnd(to="server", shift=1, aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run([forger, ChallengeInexact()], sends=256 * KIB)

    session.require(Interfered(ChallengeInexact))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


# -- FIN ------------------------------------------------------------------------------------------


@case(
    "forged.fin-initial-{}",
    reads=THEM,
    each=TO,
    requires=FIN_ONLY,
    directions=BOTH_WAYS,
    topology="dual-homed-client",
    waits=3,
)
def test_end_of_the_initial_subflow(run: RunFixture) -> None:
    """The initial subflow gets a forged FIN, {}, and is cut off: the backup carries on to the DATA_FIN."""
    aim = Aim(path=0, direction=run.direction, from_byte=16 * KIB)
    box = ForgeEnd("fin", run.value, later="drop", aim=aim)
    went_on(run(box, sends=96 * KIB, backup=True, patience=15, endpoint={"client": ROUND_ROBIN}), ForgeEnd)


@case(
    "forged.fin-joined-{}",
    reads=THEM,
    each=TO,
    requires=FIN_ONLY,
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=3,
)
def test_end_of_the_joined_subflow(run: RunFixture) -> None:
    """The joined subflow gets a forged FIN, {}, and goes on otherwise: the stream goes on, and whole."""
    box = ForgeEnd("fin", run.value, aim=Aim(path=1, direction=run.direction, from_byte=64 * KIB))
    went_on(run(box, sends=384 * KIB), ForgeEnd)


@case("forged.fin-only-{}", reads=THEM, each=TO, requires=FIN_ONLY, directions=BOTH_WAYS, waits=3)
def test_end_of_the_only_subflow(run: RunFixture) -> None:
    """The only subflow gets a forged FIN, {}: no application may take that for the end of the stream."""
    box = ForgeEnd("fin", run.value, aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB, patience=3, sysctls=GIVE_UP)

    session.require(Interfered(ForgeEnd))
    session.expect(NoFalseData())
    # A stream that is short and seems to have ended counts as corrupted.
    session.expect(Outcome.RESET, Outcome.STALLED, Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


# -- ICMP -----------------------------------------------------------------------------------------


@case(
    "forged.{}",
    each={word: word for word in ("net-unreachable", "host-unreachable", "time-exceeded", "source-quench")},
    requires=SOFT,
    directions=BOTH_WAYS,
    families=("v4",),
)
def test_soft_errors(run: RunFixture) -> None:
    """Data in mid-transfer is answered by ICMP errors ({}) though it arrives: MPTCP to the end."""
    aim = Aim(direction=run.direction, from_byte=64 * KIB, until_byte=72 * KIB)
    session = run(ForgeErrors(run.value, aim=aim), sends=256 * KIB)

    session.require(Interfered(ForgeErrors))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case("forged.outage", requires=SOFT, directions=BOTH_WAYS, waits=1)
def test_soft_errors_while_nothing_passes(run: RunFixture) -> None:
    """Data is refused as unreachable thirty times in a row, as while routes change: it is sent again."""
    aim = Aim(direction=run.direction, from_byte=64 * KIB, until_nth=30)
    session = run(ForgeErrors(drop=True, aim=aim), sends=256 * KIB)

    session.require(Interfered(ForgeErrors))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case(
    "forged.{}-of-two",
    each={
        word: word for word in ("host-unreachable", "port-unreachable", "protocol-unreachable", "prohibited")
    },
    requires=("RFC8684-3.3.6/icmp-ends-subflow", "RFC8684-3.3/one-stream"),
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=3,
)
def test_errors_on_one_of_two_subflows(run: RunFixture) -> None:
    """Data of the joined subflow is refused ({}): that may end the subflow, and nothing is lost."""
    aim = Aim(path=1, direction=run.direction, from_byte=64 * KIB)
    went_on(run(ForgeErrors(run.value, drop=True, aim=aim), sends=384 * KIB), ForgeErrors)


@case(
    "forged.{}-only",
    each={word: word for word in ("port-unreachable", "protocol-unreachable", "prohibited")},
    requires="RFC8684-3.3.6/icmp-ends-subflow",
    level=MAY,
    directions=BOTH_WAYS,
)
def test_hard_errors_on_the_only_subflow(run: RunFixture) -> None:
    """Data on the only subflow is answered by hard ICMP errors ({}): a host may end it, or go on."""
    aim = Aim(direction=run.direction, from_byte=64 * KIB, until_byte=72 * KIB)
    session = run(ForgeErrors(run.value, aim=aim), sends=256 * KIB, patience=3, sysctls=GIVE_UP)

    session.require(Interfered(ForgeErrors))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.MULTIPATH)


@case("forged.error-with-another-number", requires=SOFT, level=MAY, directions=BOTH_WAYS)
def test_hard_errors_with_another_number(run: RunFixture) -> None:
    """Hard ICMP errors quote numbers that were never sent, as a blind attacker does: they change nothing."""
    aim = Aim(direction=run.direction, from_byte=64 * KIB, until_byte=72 * KIB)
    session = run(ForgeErrors("port-unreachable", shift=2**30, aim=aim), sends=256 * KIB)

    session.require(Interfered(ForgeErrors))
    session.expect(Unharmed(), level=MUST)
    session.expect(Outcome.MULTIPATH)


@case(
    "forged.join-unreachable",
    requires="RFC8684-6/join-syn-dropped",
    directions=BOTH_WAYS,
    topology="dual-homed-client",
)
def test_errors_about_the_syn_of_a_join(run: RunFixture) -> None:
    """The SYN of a join is refused as unreachable: the connection goes on without that subflow."""
    session = run(ForgeErrors(drop=True, aim=Aim(path=1, kinds=Kind.SYN)), sends=256 * KIB)

    session.require(Interfered(ForgeErrors))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)


@case("forged.too-big", requires="RFC8684-3.3/one-stream", directions=BOTH_WAYS)
def test_errors_that_name_a_smaller_mtu(run: RunFixture) -> None:
    """ICMP names an MTU of 1280 octets for data that fits: segments get smaller, and mappings stay right."""
    aim = Aim(direction=run.direction, from_byte=64 * KIB, where=lambda segment: len(segment) > 1280)
    session = run(ForgeErrors("too-big", mtu=1280, drop=True, aim=aim), sends=256 * KIB)

    session.require(Interfered(ForgeErrors))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)
