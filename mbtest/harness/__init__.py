"""Cases, runs, expectations, verdicts. Almost empty: the pytest plugin is loaded in every pytest session."""

CASE_ATTRIBUTE = "mbtest_case"
"""Where `@case` leaves what it says of a function."""
PROPERTY = "mbtest"
"""The user property of a test report that holds its run's entry, as JSON."""
