"""The words that cases are written in, in one place: `from mbtest.testing import ...`."""

from mbtest.harness.actions import Announce, Connect, Join, Lose, Prioritise, Remove
from mbtest.harness.case import (
    BOTH_WAYS,
    MAY,
    MUST,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    case,
)
from mbtest.harness.expect import (
    HANDSHAKE,
    AnswersMpFail,
    CapableAgain,
    Checksums,
    Counted,
    Did,
    FellBack,
    Interfered,
    NoFalseData,
    NoMptcpOptions,
    OneOf,
    ResetsWith,
    Role,
    Sends,
    Told,
    Unharmed,
)
from mbtest.harness.expect_paths import DataOn, Lasts, NoSubflowOn, Resets, Subflows
from mbtest.harness.fixture import RunFixture, Trial
from mbtest.harness.presets import preset
from mbtest.harness.workload import KIB, MIB, Workload
from mbtest.middlebox import MILLISECOND, SECOND, Aim, Direction, Kind, Middlebox, Subflow
from mbtest.observe import CLIENT, SERVER, Stage
from mbtest.results import Fallback, Outcome
from mbtest.stacks import Capability

__all__ = [
    "BOTH_WAYS", "CLIENT", "HANDSHAKE", "KIB", "MAY", "MIB", "MILLISECOND", "MUST", "SECOND", "SERVER",
    "SHOULD", "TO_CLIENT", "TO_SERVER", "Aim", "Announce", "AnswersMpFail", "Capability", "CapableAgain",
    "Checksums", "Connect", "Counted", "DataOn", "Did", "Direction", "Fallback", "FellBack", "Interfered",
    "Join", "Kind", "Lasts", "Lose", "Middlebox", "NoFalseData", "NoMptcpOptions", "NoSubflowOn", "OneOf",
    "Outcome", "Prioritise", "Remove", "Resets", "ResetsWith", "Role", "RunFixture", "Sends", "Stage",
    "Subflow", "Subflows", "Told", "Trial", "Unharmed", "Workload", "case", "preset",
]  # fmt: skip
