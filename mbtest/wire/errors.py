"""What the codec raises, and nothing else."""


class WireError(ValueError):
    """Bytes that cannot be read as what they claim to be.

    offset: where in the input the reading stopped, in octets from its start.
    """

    def __init__(self, offset: int, reason: str) -> None:
        """Keep `offset` (octets) and `reason` apart, for those who count errors by kind."""
        super().__init__(f"at octet {offset}: {reason}")
        self.offset = offset
        self.reason = reason

    def __reduce__(self) -> tuple[type["WireError"], tuple[int, str]]:
        """Survive pickling, as between test workers."""
        return type(self), (self.offset, self.reason)
