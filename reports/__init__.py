"""The report formats: one a file, each made from `result.json` and the captures alone."""
