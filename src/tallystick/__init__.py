"""Tallystick: metering, credits and billing for AI-agent platforms."""

__version__ = "0.1.0"
