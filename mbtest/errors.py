"""The errors that are not a verdict: somebody's mistake, or our own fault."""


class UsageError(ValueError):
    """A user's mistake: one line that names the place and the remedy. Exit status 4."""


class LocalProtocolError(ValueError):
    """Our own caller asked for something illegal; the message says what was legal."""


class HarnessError(Exception):
    """Our fault: a frame lost by the fabric, a box that raised, a run that could not be set up."""
