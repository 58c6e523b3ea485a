"""Privileges for all tests: a user namespace, where they run as an ordinary user; and no test of time."""

import pytest
from hypothesis import settings

from mbtest.errors import UsageError
from mbtest.network import privileges

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Enter the user namespace before workers start: a process with threads cannot."""
    if hasattr(config, "workerinput"):
        return
    try:
        privileges.enter()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
