"""Which hosts there are, which interfaces they have, and which paths run between them.

A topology is a TOML file. Quantities carry their unit there ("5ms", "100Mbit/s", "64KiB") and are integers
here (microseconds, bits per second, octets). The first path of a file is the one of the initial subflow.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from mbtest.errors import UsageError

Family = Literal["v4", "v6", "mixed"]
Role = Literal["client", "server"]
FAMILIES: tuple[Family, ...] = ("v4", "v6", "mixed")
ROLES: tuple[Role, ...] = ("client", "server")

# IFNAMSIZ, less the terminating zero.
_LONGEST_NAME = 15
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z/µ]+)\s*")
_TIMES = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000}
_RATES = {"bit/s": 1, "kbit/s": 1_000, "Mbit/s": 1_000_000, "Gbit/s": 1_000_000_000}
_SIZES = {"B": 1, "kB": 1_000, "MB": 1_000_000, "KiB": 1_024, "MiB": 1_048_576}


class TopologyError(UsageError):
    """A mistake in a topology file: one line with the file, the field and what would be right."""


class Interface(msgspec.Struct, frozen=True):
    """An interface of a host: its name, and an address with prefix for each family that it speaks.

    The first address of a prefix that is not the interface's own is its gateway: the fabric.
    """

    name: str
    v4: IPv4Interface | None = None
    v6: IPv6Interface | None = None

    def addresses(self, family: Family) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """Return the addresses that a run of this family configures, IPv4 before IPv6."""
        chosen = (self.v4 if family != "v6" else None, self.v6 if family != "v4" else None)
        return tuple(address for address in chosen if address is not None)


class NetworkPath(msgspec.Struct, frozen=True):
    """A way between an interface of the client and one of the server, the same in both directions.

    delay_us: one way, microseconds. rate_bps: bits per second, None without limit. queue_bytes: octets
    that may wait for the line, None without limit. loss, reorder, duplicate: the chance of each packet, 0
    to 1, to be lost, to be held back by reorder_by_us (microseconds) more than the others, so that those
    overtake it, and to arrive twice.
    """

    name: str
    client: str
    server: str
    delay_us: int = 0
    rate_bps: int | None = None
    queue_bytes: int | None = None
    loss: float = 0.0
    reorder: float = 0.0
    reorder_by_us: int = 0
    duplicate: float = 0.0

    @property
    def ideal(self) -> bool:
        """Whether each packet arrives at once, in order and once."""
        chances = self.loss or self.reorder or self.duplicate
        return not self.delay_us and self.rate_bps is None and not chances


class Topology(msgspec.Struct, frozen=True):
    """The hosts' interfaces and the paths between them, in the order of the file."""

    name: str
    description: str
    client: tuple[Interface, ...]
    server: tuple[Interface, ...]
    paths: tuple[NetworkPath, ...]

    def interfaces(self, role: Role) -> tuple[Interface, ...]:
        """Return the interfaces of a host."""
        return self.client if role == "client" else self.server

    def interface(self, name: str) -> Interface:
        """Return the interface of this name, of whichever host. Raises KeyError when there is none."""
        for interface in self.client + self.server:
            if interface.name == name:
                return interface
        raise KeyError(name)

    def path(self, name: str) -> NetworkPath:
        """Return the path of this name. Raises UsageError, with the names that there are."""
        for path in self.paths:
            if path.name == name:
                return path
        names = [path.name for path in self.paths]
        raise UsageError(f"topology {self.name}: no path {name!r}{_instead(name, names)}")

    def require_family(self, family: Family) -> None:
        """Raise TopologyError when an interface lacks an address that a run of this family needs."""
        for interface in self.client + self.server:
            for kind in ("v4", "v6") if family == "mixed" else (family,):
                if getattr(interface, kind) is None:
                    raise TopologyError(
                        f"topology {self.name}: interface {interface.name} has no {kind} address, "
                        f"which family {family} needs; add one, or run another family"
                    )


Form = TypeVar("Form", bound=msgspec.Struct)


class _PathFile(msgspec.Struct, forbid_unknown_fields=True):
    """A path as the file has it."""

    name: str
    client: str
    server: str
    delay: str = "0us"
    rate: str | None = None
    queue: str | None = None
    loss: float = 0.0
    reorder: float = 0.0
    reorder_by: str | None = None
    duplicate: float = 0.0


class _InterfaceFile(msgspec.Struct, forbid_unknown_fields=True):
    """An interface as the file has it."""

    v4: str | None = None
    v6: str | None = None


class _TopologyFile(msgspec.Struct, forbid_unknown_fields=True):
    """A topology as the file has it."""

    client: dict[str, object]
    server: dict[str, object]
    paths: list[object]
    description: str = ""


def load_topology(file: Path) -> Topology:
    """Return the topology of a TOML file; its name is the file's. Raises TopologyError."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TopologyError(f"{file}: no such topology file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TopologyError(f"{file}: cannot be read: {error}") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TopologyError(f"{file}: not TOML: {error}") from None
    return _Reader(file).topology(tree)


class _Reader:
    """Turns the tree of a TOML file into a topology, and a mistake in it into one line."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def topology(self, tree: dict[str, object]) -> Topology:
        """Return the topology. Raises TopologyError."""
        source = self._convert(tree, _TopologyFile, "")
        hosts = {role: self._host(role, getattr(source, role)) for role in ROLES}
        self._check_distinct(hosts)
        if not source.paths:
            raise self._error("paths", "there is none; add [[paths]] with name, client and server")
        paths = tuple(self._path(at, path, hosts) for at, path in enumerate(source.paths))
        for at, path in enumerate(paths):
            for other in paths[:at]:
                if path.name == other.name:
                    raise self._error(
                        f"paths[{at}].name", f"{path.name!r} is taken by another path; rename one"
                    )
                if (path.client, path.server) == (other.client, other.server):
                    raise self._error(
                        f"paths[{at}]",
                        f"{other.name!r} runs between the same interfaces; remove one of the two",
                    )
        for role in ROLES:
            ends = {path.client if role == "client" else path.server for path in paths}
            for interface in hosts[role]:
                if interface.name not in ends:
                    raise self._error(f"{role}.{interface.name}", "no path ends there; add one, or remove it")
        return Topology(self._file.stem, source.description, hosts["client"], hosts["server"], paths)

    def _convert(self, tree: object, form: type[Form], field: str) -> Form:
        try:
            return msgspec.convert(tree, form)
        except msgspec.ValidationError as error:
            below, reason = _reworded(str(error), form.__struct_fields__)
            raise self._error(".".join(filter(None, (field, below))) or "file", reason) from None

    def _host(self, role: Role, source: Mapping[str, object]) -> tuple[Interface, ...]:
        if not source:
            raise self._error(role, f"no interface; add one, such as [{role}.{role[0]}1]")
        return tuple(self._interface(role, name, interface) for name, interface in source.items())

    def _interface(self, role: Role, name: str, tree: object) -> Interface:
        field = f"{role}.{name}"
        source = self._convert(tree, _InterfaceFile, field)
        if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME or name == "lo":
            raise self._error(
                field,
                f"no interface's name; use a letter, then letters, digits, '_', '-', at most {_LONGEST_NAME}",
            )
        if source.v4 is None and source.v6 is None:
            raise self._error(field, 'no address; add v4 = "198.18.1.2/24" or v6 = "2001:db8:1::2/64"')
        v4 = self._address(f"{field}.v4", source.v4)
        v6 = self._address(f"{field}.v6", source.v6)
        if isinstance(v4, IPv6Interface):
            raise self._error(f"{field}.v4", f"{v4} is an IPv6 address; put it into v6")
        if isinstance(v6, IPv4Interface):
            raise self._error(f"{field}.v6", f"{v6} is an IPv4 address; put it into v4")
        return Interface(name, v4, v6)

    def _address(self, field: str, text: str | None) -> IPv4Interface | IPv6Interface | None:
        if text is None:
            return None
        example = "2001:db8:1::2/64" if ":" in text else "198.18.1.2/24"
        if "/" not in text:
            raise self._error(field, f"{text!r} has no prefix length; write it as in {example!r}")
        try:
            address = ip_interface(text)
        except ValueError:
            raise self._error(
                field, f"{text!r} is no address with prefix; write it as in {example!r}"
            ) from None
        if address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified:
            raise self._error(field, f"{address.ip} cannot be routed; use one as in {example!r}")
        network = address.network
        if network.num_addresses < 4:
            raise self._error(
                field, f"no room for a gateway in {network}; use a prefix of at least 4 addresses"
            )
        if address.ip in (network.network_address, network.broadcast_address):
            raise self._error(field, f"{address.ip} is no host's address in {network}; choose one within")
        return address

    def _check_distinct(self, hosts: Mapping[Role, tuple[Interface, ...]]) -> None:
        names: dict[str, str] = {}
        networks: list[tuple[IPv4Interface | IPv6Interface, str]] = []
        for role in ROLES:
            for interface in hosts[role]:
                field = f"{role}.{interface.name}"
                if interface.name in names:
                    raise self._error(
                        field, f"the name is taken by {names[interface.name]}; rename one of the two"
                    )
                names[interface.name] = field
                for address in interface.addresses("mixed"):
                    here = f"{field}.v{address.version}"
                    for other, there in networks:
                        if other.version == address.version and other.ip == address.ip:
                            raise self._error(
                                here, f"{address.ip} is the address of {there} too; change one of the two"
                            )
                        if other.version == address.version and other.network.overlaps(address.network):
                            raise self._error(
                                here,
                                f"{address.network} overlaps with {other.network} of {there}; take another",
                            )
                    networks.append((address, here))

    def _path(self, at: int, tree: object, hosts: Mapping[Role, tuple[Interface, ...]]) -> NetworkPath:
        field = f"paths[{at}]"
        source = self._convert(tree, _PathFile, field)
        if not source.name or "/" in source.name or not source.name.isprintable():
            raise self._error(
                f"{field}.name", f"{source.name!r} is no name; use printable characters other than '/'"
            )
        for role in ROLES:
            end, names = getattr(source, role), [interface.name for interface in hosts[role]]
            if end not in names:
                raise self._error(
                    f"{field}.{role}", f"the {role} has no interface {end!r}{_instead(end, names)}"
                )
        for name in ("loss", "reorder", "duplicate"):
            chance = getattr(source, name)
            if not 0 <= chance <= 1:
                raise self._error(
                    f"{field}.{name}", f"{chance:g} is no chance; write 0 to 1, 0.01 for one packet in 100"
                )
        rate = (
            None if source.rate is None else self._quantity(f"{field}.rate", source.rate, _RATES, "100Mbit/s")
        )
        if rate == 0:
            raise self._error(f"{field}.rate", "nothing passes at 0 bit/s; leave the field out for no limit")
        queue = (
            None if source.queue is None else self._quantity(f"{field}.queue", source.queue, _SIZES, "64KiB")
        )
        if queue is not None and rate is None:
            raise self._error(
                f"{field}.queue", "without a rate nothing ever waits; add a rate, or remove the queue"
            )
        return NetworkPath(
            name=source.name,
            client=source.client,
            server=source.server,
            delay_us=self._quantity(f"{field}.delay", source.delay, _TIMES, "5ms"),
            rate_bps=rate,
            queue_bytes=queue,
            loss=source.loss,
            reorder=source.reorder,
            reorder_by_us=self._reorder_by(field, source),
            duplicate=source.duplicate,
        )

    def _reorder_by(self, field: str, source: _PathFile) -> int:
        """Return for how long packets are held back, microseconds; 0 where none is."""
        if source.reorder_by is None:
            if source.reorder:
                raise self._error(
                    f"{field}.reorder", 'held back for how long? Add a time, such as reorder_by = "1ms"'
                )
            return 0
        if not source.reorder:
            raise self._error(
                f"{field}.reorder_by", "no packet is held back; add reorder, the chance of each, or remove it"
            )
        held = self._quantity(f"{field}.reorder_by", source.reorder_by, _TIMES, "1ms")
        if not held:
            raise self._error(
                f"{field}.reorder_by", "nothing overtakes in no time; write a longer one, such as '1ms'"
            )
        return held

    def _quantity(self, field: str, text: str, units: Mapping[str, int], example: str) -> int:
        match = _QUANTITY.fullmatch(text)
        if match is None:
            raise self._error(field, f"{text!r} is no number with unit; write it as in {example!r}")
        number, unit = match.groups()
        if unit not in units:
            known = ", ".join(units)
            raise self._error(
                field, f"unknown unit {unit!r} in {text!r}; write it as in {example!r} ({known})"
            )
        return round(float(number) * units[unit])

    def _error(self, field: str, reason: str) -> TopologyError:
        return TopologyError(f"{self._file}: {field}: {reason}")


_AT = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_TYPES = re.compile(r"Expected `(?P<expected>.*)`, got `(?P<got>.*)`")


def _reworded(message: str, known: Iterable[str]) -> tuple[str, str]:
    """Return the field and the reason of what msgspec says. known: the fields that there can be."""
    match = _AT.fullmatch(message)
    if match is None:
        return "", message
    field, reason = match["field"] or "", match["reason"]
    if unknown := _UNKNOWN.fullmatch(reason):
        return unknown["name"], f"unknown field{_instead(unknown['name'], known)}"
    if missing := _MISSING.fullmatch(reason):
        return missing["name"], "missing; add it"
    if types := _TYPES.fullmatch(reason):
        return field, f"expected {types['expected']}, found {types['got']}"
    return field, reason


def _instead(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` where a name that exists is near, or the list of those that exist."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there is {', '.join(names)}"
