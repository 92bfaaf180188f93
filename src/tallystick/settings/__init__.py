"""Every setting of the program: one typed list (`fields`), how it is read (`loading`) and shown (`reference`)."""

from tallystick.settings.fields import Settings
from tallystick.settings.loading import LoadedSettings, load, variable
from tallystick.settings.reference import describe, render_reference

__all__ = ["LoadedSettings", "Settings", "describe", "load", "render_reference", "variable"]
