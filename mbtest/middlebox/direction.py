"""The two ways along a path."""

from __future__ import annotations

import enum


class Direction(enum.Enum):
    """The way in which a packet travels along a path."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"

    @property
    def reverse(self) -> Direction:
        """The other way."""
        return Direction.TO_CLIENT if self is Direction.TO_SERVER else Direction.TO_SERVER
