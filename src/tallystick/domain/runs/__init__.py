"""Runs: their states and graphs, and what one came to: receipts, estimates, simulations, refunds."""
