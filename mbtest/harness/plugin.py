"""The pytest plugin: cases are tests, each variant a run; results gather on the controller.

It does nothing in sessions that have no case: everything is imported when a case is met.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Generator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mbtest.harness import CASE_ATTRIBUTE, PROPERTY

if TYPE_CHECKING:
    from mbtest.harness.case import Case, Choice, Variant
    from mbtest.harness.fixture import RunFixture
    from mbtest.middlebox import Middlebox
    from mbtest.network.topology import Topology


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `mbtest run` passes on."""
    group = parser.getgroup("mbtest", "Multipath TCP through middleboxes")
    group.addoption("--mbtest-case", action="append", default=[], metavar="GLOB", help="cases, by id")
    group.addoption(
        "--mbtest-pair", action="append", default=[], metavar="CLIENT:SERVER", help="stacks under test"
    )
    group.addoption(
        "--mbtest-network",
        default="namespaces",
        choices=("namespaces", "simulated"),
        help="what carries packets",
    )
    group.addoption("--mbtest-family", default=None, help="v4, v6 or mixed")
    group.addoption("--mbtest-direction", default=None, help="to_server or to_client")
    group.addoption("--mbtest-checksum", default=None, choices=("on", "off"), help="DSS checksums")
    group.addoption("--mbtest-topology", default=None, metavar="NAME", help="instead of each case's own")
    group.addoption("--mbtest-through", default=None, metavar="PRESET", help="more boxes for every run")
    group.addoption("--mbtest-every", action="store_true", help="every combination of what a case offers")
    group.addoption("--mbtest-seed", type=int, default=1, help="the seed of all chance")
    group.addoption(
        "--mbtest-content", action="append", default=[], metavar="DIR", help="a user's own content"
    )
    group.addoption(
        "--mbtest-patience",
        type=float,
        default=None,
        metavar="SECONDS",
        help="for a process that the kernel holds",
    )
    group.addoption("--mbtest-out", default=None, metavar="DIR", help="where captures and result.json go")


def pytest_configure(config: pytest.Config) -> None:
    """Make the content importable, and gather results where they are asked for."""
    from mbtest import content

    content.use(*config.getoption("mbtest_content"))
    if config.getoption("mbtest_out") and not hasattr(config, "workerinput"):
        from mbtest.harness.gather import Gatherer

        watch = None
        if config.getoption("mbtest_network") == "namespaces":
            from mbtest.harness.watch import Watch
            from mbtest.stacks.guard import PATIENCE

            watch = Watch(partial(_fixture_by_id, config), config.getoption("mbtest_patience") or PATIENCE)
            config.pluginmanager.register(watch, "mbtest-watch")
        config.pluginmanager.register(Gatherer(config, watch), "mbtest-gatherer")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each variant of a case."""
    cases = getattr(metafunc.function, CASE_ATTRIBUTE, ())
    if not cases or "run" not in metafunc.fixturenames:
        return
    from mbtest.harness.case import variants
    from mbtest.harness.requirements import check

    choice, found = _choice(metafunc.config), []
    for case in cases:
        check(case, metafunc.definition.nodeid)
        if _is_wanted(metafunc.config, case.id):
            found += [(case, variant) for variant in variants(case, choice)]
    ids = [f"{case.id}/{variant.suffix}" for case, variant in found]
    metafunc.parametrize("run", found, indirect=True, ids=ids)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for, and put the rest in order."""
    declared = [item for item in items if getattr(getattr(item, "function", None), CASE_ATTRIBUTE, None)]
    if not declared:
        return
    from mbtest.harness.order import in_turn

    if config.getoption("mbtest_out"):
        from mbtest.network.collector import collect_seldom

        collect_seldom()
    # A case of which no variant was chosen is left as a test without its parameter.
    dropped = {item for item in declared if _case(item) is None}
    if dropped:
        config.hook.pytest_deselected(items=list(dropped))
        items[:] = [item for item in items if item not in dropped]
    items[:] = in_turn([(item, _case(item)) for item in items])


@pytest.fixture
def run(request: pytest.FixtureRequest) -> RunFixture:
    """One variant of the case: call it to carry it out."""
    from mbtest.harness.pairs import uses_kernel

    if not hasattr(request.function, CASE_ATTRIBUTE) or not hasattr(request, "param"):
        pytest.fail(
            f"{request.node.nodeid} asks for `run` and is no case: put @case(...) above it", pytrace=False
        )
    config, (case, variant) = request.config, request.param
    if uses_kernel([(variant.client, variant.server)]):
        from mbtest.network import privileges

        privileges.enter()
    return _fixture_of(config, case, variant)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Carry a case out, write its entry, and let pytest know the verdict."""
    if getattr(pyfuncitem.function, CASE_ATTRIBUTE, None) is None:
        return (yield)
    import msgspec

    from mbtest.results import Verdict

    fixture: Any = pyfuncitem.funcargs["run"]
    failure: BaseException | None = None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a case raises becomes its verdict
        failure = error
    entry = fixture.result(failure)
    pyfuncitem.user_properties.append((PROPERTY, msgspec.json.encode(entry).decode()))
    if entry.verdict is Verdict.HARNESS_ERROR and failure is not None:
        raise failure
    if entry.verdict in (Verdict.FAIL, Verdict.HARNESS_ERROR):
        pytest.fail(f"{entry.id}: {entry.verdict}: {entry.reason}\nrepeat: {entry.repeat}", pytrace=False)
    if entry.verdict in (Verdict.UNSUPPORTED, Verdict.INCONCLUSIVE):
        pytest.skip(f"{entry.verdict}: {entry.reason}")
    return True


def _fixture_of(config: pytest.Config, case: Case, variant: Variant) -> RunFixture:
    """Return what carries a variant of a case out as the options say."""
    from mbtest.harness.fixture import RunFixture

    command = [word for folder in config.getoption("mbtest_content") for word in ("--content", folder)]
    through, out = config.getoption("mbtest_through"), config.getoption("mbtest_out")
    if through:
        command += ["--through", through]
    return RunFixture(
        case,
        variant,
        config.getoption("mbtest_seed"),
        _topology,
        command,
        config.getoption("mbtest_network"),
        _preset(through) if through else (),
        Path(out) if out else None,
    )


def _fixture_by_id(config: pytest.Config, identifier: str) -> RunFixture | None:
    """Return what carries a run out, by the run's id; None where the options choose no such run."""
    from mbtest.harness.case import variants
    from mbtest.harness.catalogue import cases

    choice = _choice(config)
    for case in cases().values():
        for variant in variants(case, choice):
            if f"{case.id}/{variant.suffix}" == identifier:
                return _fixture_of(config, case, variant)
    return None


def _case(item: pytest.Item) -> Case | None:
    """Return the case of which a test is a variant."""
    callspec = getattr(item, "callspec", None)
    chosen = callspec.params.get("run") if callspec is not None else None
    return chosen[0] if isinstance(chosen, tuple) else None


def _is_wanted(config: pytest.Config, identifier: str) -> bool:
    globs = config.getoption("mbtest_case")
    return not globs or any(fnmatch.fnmatchcase(identifier, glob) for glob in globs)


def _choice(config: pytest.Config) -> Choice:
    """Return what the options choose. Raises UsageError."""
    from mbtest.harness.case import Choice, parse_direction, parse_family
    from mbtest.harness.pairs import OWN, require

    network = config.getoption("mbtest_network")
    pairs = []
    for pair in config.getoption("mbtest_pair"):
        client, _, server = pair.partition(":")
        pairs.append((client, server or client))
    if not pairs:
        pairs.append((OWN, OWN) if network == "simulated" else ("linux", "linux"))
    require(network, pairs)
    family, direction = config.getoption("mbtest_family"), config.getoption("mbtest_direction")
    checksum = config.getoption("mbtest_checksum")
    return Choice(
        pairs=tuple(pairs),
        family=parse_family(family) if family else None,
        direction=parse_direction(direction) if direction else None,
        checksum=None if checksum is None else checksum == "on",
        topology=config.getoption("mbtest_topology"),
        every=config.getoption("mbtest_every"),
    )


@cache
def _preset(name: str) -> tuple[Middlebox, ...]:
    from mbtest.harness.presets import preset

    return preset(name)


@cache
def _topology(name: str) -> Topology:
    from mbtest.harness.topologies import topology

    return topology(name)
