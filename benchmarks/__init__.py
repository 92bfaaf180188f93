"""Benchmarks: each prints one line a figure and all are written as JSON with the machine and the versions."""
