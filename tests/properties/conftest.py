"""How many examples are tried: few by default, and always the same; MBTEST_EXAMPLES of new ones by hand."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("MBTEST_EXAMPLES", "250"))

settings.register_profile(
    "runs",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="MBTEST_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("runs")
