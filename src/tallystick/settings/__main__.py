"""`python -m tallystick.settings` prints the page of the documentation."""

from tallystick.settings.reference import render_reference

print(render_reference(), end="")  # noqa: T201 - the page is the output
