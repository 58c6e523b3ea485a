"""Every law, of every run that the strategies come up with; what breaks one is written down."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings

from mbtest.harness.found import Found
from tests.properties.conftest import EXAMPLES
from tests.properties.drive import Witness, drive
from tests.properties.laws import LAWS
from tests.properties.report import held
from tests.properties.strategies import examples


@given(examples())
def test_every_law_holds_of_every_run(found: Found) -> None:
    held(found, LAWS)


@settings(max_examples=max(1, EXAMPLES // 5))
@given(examples())
def test_the_same_seed_gives_the_same_bytes(tmp_path_factory, found: Found) -> None:
    folder = tmp_path_factory.mktemp("captures")

    def is_repeated(run: Witness) -> None:
        assert octets(run, folder / "first.pcapng") == octets(drive(found), folder / "second.pcapng")

    held(found, [is_repeated])


def octets(run: Witness, file: Path) -> bytes:
    run.session.capture.write(file)
    return file.read_bytes()
