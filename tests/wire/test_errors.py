import pickle

import pytest

from mbtest.wire import WireError


def test_message_has_offset_and_reason() -> None:
    error = WireError(12, "cut off")

    assert (error.offset, error.reason, str(error)) == (12, "cut off", "at octet 12: cut off")


def test_it_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="at octet 0"):
        raise WireError(0, "empty")


def test_it_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(WireError(3, "no")))

    assert (error.offset, error.reason) == (3, "no")
