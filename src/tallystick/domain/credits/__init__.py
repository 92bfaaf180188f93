"""Grants, the ledger, balances, and what stands before work: holds, gates, budgets."""
