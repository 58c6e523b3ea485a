"""Controls: the same run with something left out, which tells whose fault a failure is.

Without the boxes the stacks alone are left; with the boxes and regular TCP, the boxes alone. Each is carried
out where a failure asks for it, once for all runs that share it, whichever process they are in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from mbtest.errors import HarnessError
from mbtest.harness.judge import judge
from mbtest.harness.plan import Plan
from mbtest.harness.session import carry_out
from mbtest.results import Control, Outcome
from mbtest.stacks import stack

REGULAR = "tcp"
"""The stack that knows nothing of MPTCP, in namespaces."""
FOLDER = "controls"
_DELIVERY = (Outcome.RESET, Outcome.STALLED, Outcome.CORRUPTED)
"""Outcomes in which an application did not get what its peer wrote."""

_found: dict[str, Control] = {}
"""Those of this process, where there is no run directory to share them by."""


def pass_through(plan: Plan, directory: Path | None) -> Control | None:
    """Return what comes of a run without its boxes; None where the control itself could not be run.

    directory: the run directory.
    """
    bare = msgspec.structs.replace(plan, boxes=(), keep=None)
    return _control("pass-through", _key(bare), bare, directory)


def regular_tcp(plan: Plan, case: str, directory: Path | None) -> Control | None:
    """Return what comes of regular TCP through the boxes of a run; None where it could not be run.

    case: the run's. Its boxes may be aimed by conditions that no words tell apart.
    """
    variant, endpoint = plan.variant, dict(plan.endpoint)
    if plan.network == "simulated":
        endpoint = {role: {**endpoint.get(role, {}), "mptcp": False} for role in ("client", "server")}
        names = (variant.client.partition("+")[0], variant.server.partition("+")[0])
    else:
        names = (REGULAR, REGULAR)
    if any(stack(name).lacks() for name in names):
        return None
    variant = msgspec.structs.replace(variant, client=names[0], server=names[1], checksum=False)
    regular = msgspec.structs.replace(plan, variant=variant, endpoint=endpoint, subflows=0, keep=None)
    return _control("regular TCP", f"{case} {_key(regular)}", regular, directory)


def excuses(plan: Plan, outcome: Outcome, control: Control) -> bool:
    """Whether a control shares a run's outcome, so that no stack under test is to blame for it.

    Regular TCP has one path. It says nothing of a run in which others were there to be used.
    """
    if control.kind == "regular TCP":
        return outcome in _DELIVERY and control.outcome is outcome and not plan.subflows
    return control.outcome is outcome and outcome is not Outcome.MULTIPATH


def _key(plan: Plan) -> str:
    boxes = [box.describe() for box in plan.boxes]
    said = [
        plan.variant, plan.topology, boxes, plan.workload, plan.subflows, plan.patience, plan.limit,
        sorted(plan.sysctls.items()), plan.backup, plan.network, sorted(plan.endpoint.items()), plan.grace,
    ]  # fmt: skip
    return repr(said)


def _control(kind: str, key: str, plan: Plan, directory: Path | None) -> Control | None:
    name = hashlib.sha256(f"{kind} {key}".encode()).hexdigest()[:32]
    if directory is None:
        return _once(name, lambda: _carry_out(kind, plan))
    file = directory / FOLDER / f"{name}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Control)
    except FileNotFoundError:
        pass
    control = _carry_out(kind, plan)
    if control is not None:
        file.parent.mkdir(exist_ok=True)
        # Another process may have come to it meanwhile: whoever is last has it.
        draft = file.with_suffix(f".{id(plan):x}")
        draft.write_bytes(msgspec.json.encode(control))
        draft.replace(file)
    return control


def _once(name: str, carry: Callable[[], Control | None]) -> Control | None:
    if name not in _found and (control := carry()) is not None:
        _found[name] = control
    return _found.get(name)


def _carry_out(kind: str, plan: Plan) -> Control | None:
    try:
        found = judge(carry_out(plan))
    except HarnessError:
        # A control that breaks excuses nobody; the run that asked for it stands as it is.
        return None
    return msgspec.convert({"kind": kind, "outcome": found.outcome, "reason": found.reason}, Control)
