"""Cases, runs, expectations, verdicts. Kept empty: the pytest plugin is loaded in every pytest session."""
