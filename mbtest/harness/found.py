"""A run that went wrong in a search, written down as a case that `mbtest run` repeats."""

from __future__ import annotations

import dataclasses
import enum
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mbtest.errors import UsageError
from mbtest.harness.case import Variant
from mbtest.harness.plan import Plan, run_seed
from mbtest.harness.workload import Workload
from mbtest.middlebox import Aim, Direction, Middlebox
from mbtest.middlebox.parameters import written
from mbtest.network.topology import Family, Interface, NetworkPath, Role, Topology, load_topology

LIMIT = 3_600.0
"""Seconds of virtual time after which a found run ends in any case, and without progress as well."""
_LONGEST_CLAIM = 100
_WORDS = (
    "MUST", "Aim", "Direction", "Kind", "Outcome", "RunFixture", "Subflow", "Workload", "case",
)  # fmt: skip


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One run between reference endpoints in a simulated network, with all that it takes to repeat it."""

    topology: Topology
    boxes: tuple[Middlebox, ...] = ()
    workload: Workload = Workload()
    family: Family = "v4"
    checksum: bool = False
    subflows: int = 0
    backup: bool = False
    endpoint: Mapping[Role, Mapping[str, Any]] = {}
    """Fields of an endpoint's `Configuration` that differ from those of its defaults, by host."""
    seed: int = 1
    """As on the command line; the run's own comes of it and of the run's id."""
    number: int = 1

    @property
    def name(self) -> str:
        """The name of the topology, and the words of the identifier."""
        return f"found-{self.number}"

    @property
    def case(self) -> str:
        """The case's id."""
        return f"found.{self.number}"

    @property
    def variant(self) -> Variant:
        """The one run that the case comes to."""
        return Variant(
            client="reference",
            server="reference",
            family=self.family,
            direction=Direction.TO_SERVER,
            checksum=self.checksum,
            topology=self.name,
        )

    def plan(self) -> Plan:
        """Return what `mbtest run` makes of the written case."""
        return Plan(
            variant=self.variant,
            topology=msgspec.structs.replace(self.topology, name=self.name),
            boxes=self.boxes,
            workload=self.workload,
            seed=run_seed(self.seed, f"{self.case}/{self.variant.suffix}"),
            subflows=self.subflows,
            patience=LIMIT,
            limit=LIMIT,
            sysctls={},
            backup=self.backup,
            endpoint=self.endpoint,
            grace=LIMIT,
            network="simulated",
        )

    def command(self, folder: Path) -> str:
        """Return the command that repeats the run from a content folder."""
        words = ["mbtest", "run", self.case, "--network", "simulated", "--content", str(folder)]
        return shlex.join([*words, "--seed", str(self.seed)])

    def write(self, folder: Path, claim: str) -> str:
        """Write the case and its topology below a content folder, and return the command that repeats it.

        claim: in a line, what did not hold. Raises UsageError for a box that cannot be written down.
        """
        case = self.source(claim)
        for name, text in (
            (f"testcases/test_found_{self.number}.py", case),
            (f"topologies/{self.name}.toml", toml(self.topology)),
        ):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        # Whatever cannot be read back would mislead.
        load_topology(folder / f"topologies/{self.name}.toml")
        return self.command(folder)

    def source(self, claim: str) -> str:
        """Return the module with the case. Raises UsageError for a box that cannot be written down."""
        told = " ".join(claim.split()).replace("\\", "/").replace('"', "'")[:_LONGEST_CLAIM].rstrip(".")
        arguments = [f"workload={_call(self.workload)},", f"subflows={self.subflows},"]
        if self.backup:
            arguments.append("backup=True,")
        if self.endpoint:
            arguments.append(f"endpoint={ {role: dict(self.endpoint[role]) for role in self.endpoint}!r},")
        arguments.append(f"patience={LIMIT}, limit={LIMIT}, grace={LIMIT},")
        boxes = "".join(f"            {_call(box)},\n" for box in self.boxes)
        imports = [f"from mbtest.testing import {', '.join(_WORDS)}", *sorted(_imports(self.boxes))]
        return (
            '"""Found by a search, and shrunk; the seed is part of it, as the command has it."""\n\n'
            "# ruff: noqa\n" + "\n".join(imports) + "\n\n\n"
            f'@case("{self.case}", level=MUST, families=("{self.family}",), checksums=({self.checksum},), '
            f'topology="{self.name}")\n'
            f"def test_found_{self.number}(run: RunFixture) -> None:\n"
            f'    """Found: {told}."""\n'
            "    session = run(\n        [\n" + boxes + "        ],\n"
            "        " + "\n        ".join(arguments) + "\n    )\n\n"
            "    session.expect(\n"
            "        Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS, Outcome.FELL_BACK, Outcome.RESET\n    )\n"
        )


def toml(topology: Topology) -> str:
    """Return a topology as its file has it."""
    words = [f"description = {_quoted(topology.description)}", ""]
    for role, interfaces in (("client", topology.client), ("server", topology.server)):
        for interface in interfaces:
            words += [f"[{role}.{interface.name}]", *_addresses(interface), ""]
    for path in topology.paths:
        words += ["[[paths]]", *_path(path), ""]
    return "\n".join(words)


def _addresses(interface: Interface) -> list[str]:
    return [
        f'{family} = "{address}"'
        for family in ("v4", "v6")
        if (address := getattr(interface, family)) is not None
    ]


def _path(path: NetworkPath) -> list[str]:
    words = [f"{name} = {_quoted(getattr(path, name))}" for name in ("name", "client", "server")]
    if path.delay_us:
        words.append(f'delay = "{path.delay_us}us"')
    if path.rate_bps is not None:
        words.append(f'rate = "{path.rate_bps}bit/s"')
    if path.queue_bytes is not None:
        words.append(f'queue = "{path.queue_bytes}B"')
    words += [
        f"{name} = {value!r}" for name in ("loss", "reorder", "duplicate") if (value := getattr(path, name))
    ]
    if path.reorder:
        words.append(f'reorder_by = "{path.reorder_by_us}us"')
    return words


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _imports(boxes: tuple[Middlebox, ...]) -> set[str]:
    """Return the lines that import the boxes, and the classes that their parameters name."""
    named = {type(box) for box in boxes}
    for box in boxes:
        for field in dataclasses.fields(box):
            value = getattr(box, field.name)
            named |= {
                item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, type)
            }
    # The wire's classes are all at the top of their package.
    return {
        f"from {'mbtest.wire' if cls.__module__.startswith('mbtest.wire') else cls.__module__} "
        f"import {cls.__name__}"
        for cls in named
    }


def _call(value: object) -> str:
    """Return the call that makes a box, an aim or a workload, with the fields that are not the default."""
    if isinstance(value, Workload):
        fields = [(name, getattr(Workload(), name)) for name in value.__struct_fields__]
    else:
        fields = [(field.name, field.default) for field in dataclasses.fields(value) if field.init]  # type: ignore[arg-type]
    words = [
        f"{name}={_written(getattr(value, name))}"
        for name, default in fields
        if getattr(value, name) != default
    ]
    return f"{type(value).__name__}({', '.join(words)})"


def _written(value: object) -> str:
    """Return a value in Python's notation. Raises UsageError where it has none."""
    if isinstance(value, Aim):
        return _call(value)
    if isinstance(value, enum.Flag):
        return " | ".join(f"{type(value).__name__}.{member.name}" for member in value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if callable(value) and not isinstance(value, type):
        raise UsageError(f"{value!r:.60}: a function cannot be written down; aim by kinds, offsets, times")
    return written(value)
