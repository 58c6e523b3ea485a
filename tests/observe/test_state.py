"""What a host knows of a connection, as values."""

from mbtest.observe.state import Connection, Duty


def test_a_duty_is_owed_once_and_settled():
    connection = Connection(1, True)
    connection.owe(Duty.ECHO, 1, 10, "a")
    connection.owe(Duty.ECHO, 2, 20, "a")
    connection.owe(Duty.ECHO, 3, 30, "b")
    connection.settle(Duty.ECHO, "a")
    assert [(owed.frame, owed.subject) for owed in connection.owed] == [(3, "b")]
    connection.settle(Duty.ECHO)
    assert connection.owed == []
