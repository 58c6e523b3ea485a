"""placeholder"""


def enter() -> None: ...
