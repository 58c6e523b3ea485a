from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest

from mbtest.errors import UsageError
from mbtest.network.topology import FAMILIES, Topology, TopologyError, load_topology

SHIPPED = ["one-path", "dual-homed-client", "dual-homed-both"]
Write = Callable[[str], Path]

GOOD = """\
[client.c1]
v4 = "198.18.1.2/24"
v6 = "2001:db8:c1::2/64"
[server.s1]
v4 = "198.19.1.2/24"
v6 = "2001:db8:51::2/64"
[[paths]]
name = "c1-s1"
client = "c1"
server = "s1"
"""


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_serves_every_family(topology: Callable[[str], Topology], name: str) -> None:
    loaded = topology(name)
    assert loaded.name == name
    assert loaded.description
    for family in FAMILIES:
        loaded.require_family(family)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_uses_addresses_kept_for_tests(topology: Callable[[str], Topology], name: str) -> None:
    # RFC 2544 §C.2.2 (benchmarks) and RFC 3849 (documentation).
    kept = ip_network("198.18.0.0/15"), ip_network("2001:db8::/32")
    loaded = topology(name)
    for interface in loaded.client + loaded.server:
        for address in interface.addresses("mixed"):
            assert any(address.ip in network for network in kept)


def test_every_pair_of_interfaces_has_a_path(topology: Callable[[str], Topology]) -> None:
    both = topology("dual-homed-both")
    pairs = {(path.client, path.server) for path in both.paths}
    assert pairs == {(c.name, s.name) for c in both.client for s in both.server}


def test_a_path_of_which_nothing_is_stated_is_ideal(write_topology: Write) -> None:
    (path,) = load_topology(write_topology(GOOD)).paths
    assert (path.delay_us, path.rate_bps, path.queue_bytes, path.loss) == (0, None, None, 0)
    assert path.ideal


@pytest.mark.parametrize(
    ("stated", "field", "value"),
    [
        ('delay = "5ms"', "delay_us", 5_000),
        ('delay = "250 us"', "delay_us", 250),
        ('delay = "0.5s"', "delay_us", 500_000),
        ('rate = "100Mbit/s"', "rate_bps", 100_000_000),
        ('rate = "1.5 Gbit/s"', "rate_bps", 1_500_000_000),
        ('rate = "1Mbit/s"\nqueue = "64KiB"', "queue_bytes", 65_536),
        ('rate = "1Mbit/s"\nqueue = "2kB"', "queue_bytes", 2_000),
        ("loss = 0.01", "loss", 0.01),
        ('reorder = 0.02\nreorder_by = "1.5ms"', "reorder", 0.02),
        ('reorder = 0.02\nreorder_by = "1.5ms"', "reorder_by_us", 1_500),
        ("duplicate = 1", "duplicate", 1.0),
    ],
)
def test_quantities_are_read_with_their_unit(
    write_topology: Write, stated: str, field: str, value: float
) -> None:
    (path,) = load_topology(write_topology(GOOD + stated)).paths
    assert getattr(path, field) == value
    assert not path.ideal or field == "queue_bytes"


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


MISTAKES = [
    (GOOD + 'dely = "5ms"', "paths[0].dely", "did you mean 'delay'?"),
    (GOOD.replace("[[paths]]", "[paths]"), "paths", "expected array, found object"),
    (GOOD + "[hosts]", "hosts", "there is client, server, paths, description"),
    (changed('v4 = "198.18.1.2/24"', 'ipv4 = "198.18.1.2/24"'), "client.c1.ipv4", "did you mean 'v4'?"),
    (changed('name = "c1-s1"\n', ""), "paths[0].name", "missing"),
    (GOOD.split("[[paths]]", maxsplit=1)[0], "paths", "missing"),
    ("paths = []\n" + GOOD.split("[[paths]]", maxsplit=1)[0], "paths", "add [[paths]]"),
    (GOOD + 'delay = "5"', "paths[0].delay", "'5ms'"),
    (GOOD + 'delay = "5 minutes"', "paths[0].delay", "us, µs, ms, s"),
    (GOOD + "delay = 5", "paths[0].delay", "expected str"),
    (GOOD + 'delay = "-5ms"', "paths[0].delay", "'5ms'"),
    (GOOD + 'rate = "100mbit"', "paths[0].rate", "'100Mbit/s'"),
    (GOOD + 'rate = "0 bit/s"', "paths[0].rate", "leave the field out"),
    (GOOD + 'queue = "64KiB"', "paths[0].queue", "add a rate"),
    (GOOD + "loss = 1.5", "paths[0].loss", "0 to 1"),
    (GOOD + "loss = nan", "paths[0].loss", "0 to 1"),
    (GOOD + 'loss = "1%"', "paths[0].loss", "expected float"),
    (GOOD + 'reorder = -0.1\nreorder_by = "1ms"', "paths[0].reorder", "0 to 1"),
    (GOOD + "reorder = 0.1", "paths[0].reorder", 'reorder_by = "1ms"'),
    (GOOD + 'reorder_by = "1ms"', "paths[0].reorder_by", "add reorder"),
    (GOOD + 'reorder = 0.1\nreorder_by = "0ms"', "paths[0].reorder_by", "write a longer one, such as '1ms'"),
    (GOOD + 'reorder = 0.1\nreorder_by = "soon"', "paths[0].reorder_by", "'1ms'"),
    (GOOD + "duplicate = 2", "paths[0].duplicate", "0 to 1"),
    (changed('client = "c1"', 'client = "c2"'), "paths[0].client", "did you mean 'c1'?"),
    (changed('server = "s1"', 'server = "c1"'), "paths[0].server", "the server has no interface 'c1'"),
    (GOOD + GOOD[GOOD.index("[[paths]]") :], "paths[1].name", "rename one"),
    (
        GOOD + GOOD[GOOD.index("[[paths]]") :].replace("c1-s1", "again"),
        "paths[1]",
        "'c1-s1' runs between the same interfaces",
    ),
    (changed("198.18.1.2/24", "198.18.1.2"), "client.c1.v4", "no prefix length"),
    (changed("198.18.1.2/24", "198.18.1.300/24"), "client.c1.v4", "'198.18.1.2/24'"),
    (changed("198.18.1.2/24", "198.18.1.0/24"), "client.c1.v4", "no host's address in 198.18.1.0/24"),
    (changed("198.18.1.2/24", "198.18.1.255/24"), "client.c1.v4", "no host's address in 198.18.1.0/24"),
    (changed("198.18.1.2/24", "198.18.1.2/32"), "client.c1.v4", "room for a gateway"),
    (changed("198.18.1.2/24", "224.0.0.9/24"), "client.c1.v4", "cannot be routed"),
    (changed("2001:db8:c1::2/64", "fe80::1%eth0/64"), "client.c1.v6", "cannot be routed"),
    (changed('"198.18.1.2/24"', '"2001:db8:9::2/64"'), "client.c1.v4", "put it into v6"),
    (changed("198.19.1.2", "198.18.1.2"), "server.s1.v4", "the address of client.c1.v4"),
    (changed("198.19.1.2", "198.18.1.9"), "server.s1.v4", "overlaps with 198.18.1.0/24 of client.c1.v4"),
    (changed("[server.s1]", "[server.c1]"), "server.c1", "taken by client.c1"),
    (changed("client.c1]", 'client."c 1"]'), "client.c 1", "use a letter"),
    (changed("client.c1]", "client.an-interface-too-long]"), "client.an-interface-too-long", "at most 15"),
    (changed('v4 = "198.18.1.2/24"\nv6 = "2001:db8:c1::2/64"\n', ""), "client.c1", "no address"),
    (GOOD + '[client.c2]\nv4 = "198.18.2.2/24"', "client.c2", "no path ends there"),
    (changed('name = "c1-s1"', 'name = "a/b"'), "paths[0].name", "other than '/'"),
    ("client = 3", "client", "expected object"),
    ("client = ,", "not TOML", "line 1"),
    ('client = { c1 = "x" }\nserver = {}\npaths = []', "client.c1", "expected object, found str"),
]


@pytest.mark.parametrize(("text", "field", "remedy"), MISTAKES)
def test_a_mistake_is_one_line_with_file_field_and_remedy(
    write_topology: Write, text: str, field: str, remedy: str
) -> None:
    file = write_topology(text)
    with pytest.raises(TopologyError) as caught:
        load_topology(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: {field}: ")
    assert remedy in message
    assert "\n" not in message


def test_a_file_that_is_not_there_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: no such topology file"):
        load_topology(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load_topology(tmp_path / "x.toml")


@pytest.mark.parametrize("family", ["v6", "mixed"])
def test_a_family_that_an_interface_lacks_is_refused(write_topology: Write, family: str) -> None:
    loaded = load_topology(write_topology(changed('v6 = "2001:db8:51::2/64"\n', "")))
    loaded.require_family("v4")
    with pytest.raises(TopologyError, match="interface s1 has no v6 address"):
        loaded.require_family(family)  # type: ignore[arg-type]


def test_a_path_that_is_not_there_names_those_that_are(topology: Callable[[str], Topology]) -> None:
    loaded = topology("dual-homed-client")
    assert loaded.path("c2-s1").client == "c2"
    with pytest.raises(UsageError, match=r"no path 'c2_s1'; did you mean 'c2-s1'\?"):
        loaded.path("c2_s1")


def test_interfaces_are_found_by_name_and_by_host(topology: Callable[[str], Topology]) -> None:
    loaded = topology("dual-homed-client")
    assert loaded.interface("c2").v4 == ip_interface("198.18.2.2/24")
    assert [interface.name for interface in loaded.interfaces("server")] == ["s1"]
    with pytest.raises(KeyError):
        loaded.interface("c3")
