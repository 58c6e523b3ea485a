"""The words that cases are written in, in one place: `from mbtest.testing import ...`."""

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
    DataOn,
    Did,
    FellBack,
    Interfered,
    NoFalseData,
    NoMptcpOptions,
    NoSubflowOn,
    OneOf,
    ResetsWith,
    Role,
    Sends,
    Subflows,
    Told,
    Unharmed,
)
from mbtest.harness.fixture import RunFixture, Trial
from mbtest.harness.presets import preset
from mbtest.harness.workload import KIB, MIB, Workload
from mbtest.middlebox import MILLISECOND, SECOND, Aim, Direction, Kind, Middlebox, Subflow
from mbtest.observe import CLIENT, SERVER, Stage
from mbtest.results import Fallback, Outcome
from mbtest.stacks import Capability

__all__ = [
    "BOTH_WAYS", "CLIENT", "HANDSHAKE", "KIB", "MAY", "MIB", "MILLISECOND", "MUST", "SECOND", "SERVER",
    "SHOULD", "TO_CLIENT", "TO_SERVER", "Aim", "AnswersMpFail",
    "Capability", "CapableAgain", "Checksums", "Counted", "DataOn", "Did",
    "Direction", "Fallback", "FellBack", "Interfered", "Kind", "Middlebox", "NoFalseData", "NoMptcpOptions",
    "NoSubflowOn", "OneOf", "Outcome", "ResetsWith", "Role", "RunFixture", "Sends", "Stage", "Subflow",
    "Subflows", "Told", "Trial", "Unharmed", "Workload", "case", "preset",
]  # fmt: skip
