"""Windows that boxes shrink, close or misread: one window for the connection, and one for each subflow."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MIB,
    SECOND,
    SHOULD,
    Aim,
    Interfered,
    Kind,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from middleboxes.check_window import CheckWindow
from middleboxes.close_window import CloseWindow
from middleboxes.shrink_window import ShrinkWindow
from middleboxes.window_scale import RewriteWindowScale

SHRUNK = ("RFC8684-6/window-shrunk", "RFC9293-3.8.6/shrunk-window-survived")
CLOSED = ("RFC9293-3.8.6.1/zero-window-probed", "RFC9293-3.8.6/shrunk-window-survived")
OBEYED = "RFC8684-3.3.5/subflow-window-obeyed"
LARGEST = ("RFC8684-3.3.5/largest-window-used", "RFC8684-6/window-shrunk")
TOO_LARGE = ("RFC8684-3.3.4/window-by-dsn", "RFC8684-3.3.6/data-level-timer")
TWO_PATHS = "dual-homed-client"


def survived(session: Trial) -> None:
    """MPTCP to the end, all subflows in use, and every octet in its place."""
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("window.shrunk-{}", requires=SHRUNK, directions=BOTH_WAYS, each={"by-2": 2, "by-8": 8, "by-64": 64})
def test_shrunk(run: RunFixture) -> None:
    """The window that the receiver offers is divided {}: slower, and nothing else."""
    session = run(ShrinkWindow(run.value, aim=Aim(direction=run.direction.reverse)), sends=128 * KIB)

    session.require(Interfered(ShrinkWindow))
    survived(session)


@case("window.shrunk-later", requires=SHRUNK, directions=BOTH_WAYS)
def test_shrunk_in_mid_connection(run: RunFixture) -> None:
    """After thirty acknowledgments the window is a sixteenth of what it was: its right edge moves back."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse, from_nth=30)
    session = run(ShrinkWindow(16, aim=aim), sends=256 * KIB)

    session.require(Interfered(ShrinkWindow))
    survived(session)


@case("window.bulk", requires=SHRUNK, families=("v4",), waits=3)
def test_bulk_through_a_shrunk_window(run: RunFixture) -> None:
    """Ten MiB arrive through a window of a quarter, MPTCP to the end."""
    session = run(ShrinkWindow(4, aim=Aim(direction=run.direction.reverse)), sends=10 * MIB, limit=100)

    session.require(Interfered(ShrinkWindow))
    survived(session)


@case("window.shrunk-on-all", requires=SHRUNK, directions=BOTH_WAYS, topology=TWO_PATHS)
def test_shrunk_on_all_subflows(run: RunFixture) -> None:
    """The window is an eighth on both subflows: both are used to the end."""
    session = run(ShrinkWindow(8, aim=Aim(direction=run.direction.reverse)), sends=256 * KIB)

    session.require(Interfered(ShrinkWindow))
    survived(session)


@case(
    "window.shrunk-on-{}",
    requires=SHRUNK,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    each={"initial": 0, "joined": 1},
)
def test_shrunk_on_one_subflow(run: RunFixture) -> None:
    """The window is a sixteenth on the {} subflow of two: that one is slower, both are used to the end."""
    box = ShrinkWindow(16, aim=Aim(path=run.value, direction=run.direction.reverse))
    session = run(box, sends=256 * KIB)

    session.require(Interfered(ShrinkWindow))
    survived(session)


@case("window.obeyed-on-joined", requires=OBEYED, directions=BOTH_WAYS, topology=TWO_PATHS)
def test_the_window_of_a_joined_subflow_is_obeyed(run: RunFixture) -> None:
    """The joined one of two subflows shows a window of a sixteenth: nothing is sent on it beyond that.

    So much is sent that a host which goes by the window of the other subflow cannot but be seen.
    """
    box = ShrinkWindow(16, aim=Aim(path=1, direction=run.direction.reverse))
    session = run(box, sends=2 * MIB)

    session.require(Interfered(ShrinkWindow))
    survived(session)


@case(
    "window.closed-{}", requires=CLOSED, directions=BOTH_WAYS, waits=2, each={"early": 0, "later": 64 * KIB}
)
def test_closed_for_a_while(run: RunFixture) -> None:
    """The window is closed for a second {} in the transfer: it is probed, and the transfer goes on."""
    box = CloseWindow(run.value, SECOND, aim=Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse))
    session = run(box, sends=256 * KIB)

    session.require(Interfered(CloseWindow))
    survived(session)


@case("window.closed-at-end", requires=CLOSED, directions=BOTH_WAYS, waits=2)
def test_closed_at_the_end(run: RunFixture) -> None:
    """The window is closed for a second once all data is acknowledged: the stream ends all the same."""
    box = CloseWindow(32 * KIB, SECOND, aim=Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse))
    session = run(box, sends=32 * KIB)

    session.require(Interfered(CloseWindow))
    survived(session)


@case("window.closed-on-all", requires=CLOSED, directions=BOTH_WAYS, topology=TWO_PATHS, waits=2)
def test_closed_on_all_subflows(run: RunFixture) -> None:
    """The windows of both subflows are closed for a second each: both are probed, and used to the end."""
    box = CloseWindow(32 * KIB, SECOND, aim=Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse))
    session = run(box, sends=256 * KIB)

    session.require(Interfered(CloseWindow))
    survived(session)


@case(
    "window.closed-on-{}",
    requires=LARGEST,
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=5,
    each={"initial": 0, "joined": 1},
)
def test_closed_on_one_subflow(run: RunFixture) -> None:
    """The window of the {} subflow is closed to the end: all data goes by the other."""
    aim = Aim(path=run.value, kinds=Kind.PURE_ACK, direction=run.direction.reverse)
    session = run(CloseWindow(2 * KIB, 60 * SECOND, aim=aim), sends=256 * KIB)

    session.require(Interfered(CloseWindow))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case(
    "window.scale-smaller-{}",
    requires="RFC8684-6/window-shrunk",
    directions=BOTH_WAYS,
    waits=2,
    each={"by-1": -1, "by-3": -3},
)
def test_scale_too_small(run: RunFixture) -> None:
    """A proxy put its own scale in the receiver's SYN, smaller {}: the sender keeps to smaller windows."""
    aim = Aim(direction=run.direction.reverse, kinds=Kind.SYN | Kind.SYN_ACK)
    session = run(RewriteWindowScale(run.value, aim=aim), sends=128 * KIB)

    session.require(Interfered(RewriteWindowScale))
    survived(session)


@case("window.scale-larger", requires=TOO_LARGE, directions=BOTH_WAYS, waits=3)
def test_scale_too_large(run: RunFixture) -> None:
    """The scale in the receiver's SYN is larger by 4: what is sent too much is dropped, and sent again."""
    aim = Aim(direction=run.direction.reverse, kinds=Kind.SYN | Kind.SYN_ACK)
    session = run(RewriteWindowScale(4, aim=aim), sends=1 * MIB)

    session.require(Interfered(RewriteWindowScale))
    survived(session)


@case(
    "window.scale-removed-{}",
    reads={"from-syn": "from the SYN", "from-syn-ack": "from the SYN/ACK", "from-both": "from both SYNs"},
    requires=(*SHRUNK, *TOO_LARGE),
    waits=3,
    each={"from-syn": Kind.SYN, "from-syn-ack": Kind.SYN_ACK, "from-both": Kind.SYN | Kind.SYN_ACK},
)
def test_scale_removed(run: RunFixture) -> None:
    """Window scaling is removed {}: MPTCP to the end, with the windows that are left."""
    # A client that alone does without scaling takes the server's windows for some octets: it sends little.
    box = RewriteWindowScale(aim=Aim(kinds=run.value))
    session = run(box, client_sends=12 * KIB, server_sends=256 * KIB)

    session.require(Interfered(RewriteWindowScale))
    survived(session)


@case("window.firewall", requires=OBEYED, directions=BOTH_WAYS)
def test_firewall_that_follows_the_window(run: RunFixture) -> None:
    """A firewall drops what is beyond the window: there is nothing of the kind."""
    session = run(CheckWindow(aim=Aim(direction=run.direction)), sends=512 * KIB)

    survived(session)


@case(
    "window.firewall-on-all",
    requires=OBEYED,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_firewalls_that_follow_the_windows(run: RunFixture) -> None:
    """Firewalls on both paths drop what is beyond the window of their subflow: both are used to the end."""
    session = run(CheckWindow(aim=Aim(direction=run.direction)), sends=512 * KIB)

    survived(session)


@case(
    "window.firewall-ignores-scale",
    requires="RFC8684-3.3.6/moved-off-failed-subflow",
    level=SHOULD,
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=5,
)
def test_firewall_that_ignores_the_scale(run: RunFixture) -> None:
    """A firewall on the joined path takes windows for unscaled, and drops data: it goes by the other path."""
    box = CheckWindow(scale="ignored", aim=Aim(path=1, direction=run.direction))
    session = run(box, sends=384 * KIB)

    session.require(Interfered(CheckWindow))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)
    session.expect(Subflows(at_least=1))
