"""The terminal, or whatever else reads standard output."""

from __future__ import annotations

import os
import sys

from rich.console import Console


class Screen(Console):
    """A console whose reader may leave before all is said, as `head` does: the rest is said to nobody."""

    def on_broken_pipe(self) -> None:
        """Be silent from now on; what is under way goes on."""
        self.quiet = True
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, sys.stdout.fileno())
        os.close(nobody)
