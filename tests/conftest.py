"""Privileges for all tests: a user namespace, where the tests run as an ordinary user."""

import pytest

from mbtest.errors import UsageError
from mbtest.network import privileges


def pytest_configure(config: pytest.Config) -> None:
    """Enter the user namespace before workers start: a process with threads cannot."""
    if hasattr(config, "workerinput"):
        return
    try:
        privileges.enter()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
