-- An operator takes credits back: a kind of transaction of its own; and what is looked for by its time or kind.

ALTER TABLE ledger_transaction DROP CONSTRAINT ledger_transaction_kind_check;

ALTER TABLE ledger_transaction ADD CONSTRAINT ledger_transaction_kind_check
    CHECK (kind IN ('grant', 'usage', 'expiry', 'reset', 'adjustment'));

CREATE INDEX audit_entry_at ON audit_entry (workspace_id, at);

CREATE INDEX audit_entry_latest ON audit_entry (at);

-- What is asked for each banner: free credits that ended.
CREATE INDEX fact_expired ON fact (workspace_id) WHERE kind IN ('credits.expired', 'tool_runs.expired');
