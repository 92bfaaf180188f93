"""Hypothesis for properties of the whole: without a deadline; in CI the same examples every time, told as found."""

import os

from hypothesis import Phase, settings

settings.register_profile("here", deadline=None)
# Making a failing history of the database smaller takes minutes: do it at a desk.
settings.register_profile("ci", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
settings.load_profile("ci" if os.environ.get("CI") else "here")
