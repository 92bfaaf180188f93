-- Where value sits. The ledger is the truth; `balance` and `credit_grant.remaining` are caches that verify rebuilds.
-- Amounts are nano-units (10⁻⁹ credit or tool run). Entries of one transaction sum to zero.

-- tenant: one row per workspace and unit, the row that every debit locks: posted = sum of remaining - overdraft
-- = issued - used - expired; allocation is rule M18's, allocation_no re-arms its thresholds; nothing is due before due_at;
-- resources_no (of the credits row) grows when a connector changes, so that caches of its attributes know
CREATE TABLE balance (
    workspace_id uuid NOT NULL,
    unit text NOT NULL CHECK (unit IN ('credits', 'tool_runs')),
    posted bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    overdraft bigint NOT NULL DEFAULT 0,
    issued bigint NOT NULL DEFAULT 0,
    used bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    allocation bigint NOT NULL DEFAULT 0,
    allocation_no bigint NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT 0,
    due_at timestamptz,
    resources_no bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, unit)
) WITH (fillfactor = 50);

-- tenant: kept is what open holds relied on when it ended, less what expired of that since (rule M20)
CREATE TABLE credit_grant (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    unit text NOT NULL CHECK (unit IN ('credits', 'tool_runs')),
    source text NOT NULL CHECK (source IN ('free', 'plan', 'purchase', 'promotion', 'adjustment', 'history')),
    amount bigint NOT NULL,
    remaining bigint NOT NULL,
    priority integer NOT NULL,
    starts_at timestamptz NOT NULL,
    expires_at timestamptz,
    ended_at timestamptz,
    expired bigint NOT NULL DEFAULT 0,
    kept bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX credit_grant_open ON credit_grant (workspace_id, unit) WHERE remaining > 0;

-- tenant: append-only; seq has no gaps per (workspace, unit), key makes a repeated request the same transaction
CREATE TABLE ledger_transaction (
    workspace_id uuid NOT NULL,
    unit text NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('grant', 'usage', 'expiry', 'reset')),
    key text NOT NULL,
    effective_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    reason text NOT NULL DEFAULT '',
    actor text NOT NULL DEFAULT '',
    PRIMARY KEY (workspace_id, unit, seq),
    UNIQUE (workspace_id, unit, key)
);

-- tenant: append-only; balance_after is the account's balance once the entry is booked
CREATE TABLE ledger_entry (
    workspace_id uuid NOT NULL,
    unit text NOT NULL,
    seq bigint NOT NULL,
    position smallint NOT NULL,
    account text NOT NULL CHECK (account IN ('issued', 'grant', 'overdraft', 'usage', 'expired')),
    grant_id uuid,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    PRIMARY KEY (workspace_id, unit, seq, position)
);
