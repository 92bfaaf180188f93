-- What was used: keys that make ingest exactly-once, immutable events with their charge, rollups, tier counters.

-- tenant: outlives the events; hash covers type, subject and canonical data,
-- used_at and event_id point to the first outcome, the row in usage_event
CREATE TABLE event_key (
    workspace_id uuid NOT NULL,
    source text NOT NULL,
    id text NOT NULL,
    hash bytea NOT NULL,
    used_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (workspace_id, source, id)
);

-- tenant: one row per accepted event, and one per reversal of an earlier one (reverses is set, figures negated).
-- time is as reported; used_at is the instant the figures count for: the original's, for a reversal or an adjustment.
-- type is as reported, meter the type it is counted as; transaction_id is that of the ledger transactions of its commit.
CREATE TABLE usage_event (
    workspace_id uuid NOT NULL,
    used_at timestamptz NOT NULL,
    id uuid NOT NULL,
    source text NOT NULL,
    source_id text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    data json NOT NULL,
    run text,
    meter text NOT NULL,
    category text NOT NULL,
    slug text NOT NULL,
    status text,
    project_id uuid,
    user_id uuid,
    workflow_id uuid,
    agent_id uuid,
    connector_id uuid,
    tool_id uuid,
    table_id uuid,
    language_model text,
    integration text,
    quantity numeric NOT NULL,
    tokens_in bigint NOT NULL,
    tokens_out bigint NOT NULL,
    credits bigint NOT NULL,
    tool_runs bigint NOT NULL,
    provider_cost bigint,
    state text NOT NULL CHECK (state IN ('priced', 'unpriced', 'waived', 'direct')),
    price_version_id uuid,
    counter_before numeric,
    overdrawn boolean NOT NULL,
    over_budget boolean NOT NULL,
    covered_by uuid,
    reverses uuid,
    adjusts uuid,
    transaction_id uuid NOT NULL,
    PRIMARY KEY (workspace_id, used_at, id)
);

CREATE INDEX usage_event_reverses ON usage_event (workspace_id, reverses) WHERE reverses IS NOT NULL;

CREATE INDEX usage_event_adjusts ON usage_event (workspace_id, adjusts) WHERE adjusts IS NOT NULL;

-- What a run came to, charge by charge: its receipt.
CREATE INDEX usage_event_run ON usage_event (workspace_id, run) WHERE run IS NOT NULL;

CREATE INDEX usage_event_unpriced ON usage_event (workspace_id, type, language_model) WHERE state = 'unpriced';

-- tenant: figures stand first, since a column behind texts costs a walk through them; partitions keep a workspace's rows together, so that a quarter of a year is read from few pages, and leave
-- room on each page for updates in place; bucket is a digest of the dimensions, so that the key stays small and the columns stay readable
CREATE TABLE rollup_daily (
    workspace_id uuid NOT NULL,
    day date NOT NULL,
    bucket uuid NOT NULL,
    events bigint NOT NULL,
    tokens_in bigint NOT NULL,
    tokens_out bigint NOT NULL,
    credits bigint NOT NULL,
    tool_runs bigint NOT NULL,
    unpriced bigint NOT NULL,
    quantity numeric NOT NULL,
    type text NOT NULL,
    slug text NOT NULL,
    status text,
    workflow_id uuid,
    agent_id uuid,
    user_id uuid,
    project_id uuid,
    connector_id uuid,
    tool_id uuid,
    table_id uuid,
    category text NOT NULL,
    language_model text,
    integration text,
    provider_cost numeric NOT NULL,
    PRIMARY KEY (workspace_id, day, bucket)
) PARTITION BY HASH (workspace_id);

CREATE TABLE rollup_daily_00 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 0) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_01 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 1) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_02 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 2) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_03 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 3) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_04 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 4) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_05 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 5) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_06 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 6) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_07 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 7) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_08 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 8) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_09 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 9) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_10 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 10) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_11 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 11) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_12 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 12) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_13 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 13) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_14 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 14) WITH (fillfactor = 75);

CREATE TABLE rollup_daily_15 PARTITION OF rollup_daily
    FOR VALUES WITH (MODULUS 16, REMAINDER 15) WITH (fillfactor = 75);

-- tenant: kept for TALLY_HOURLY_ROLLUP_DAYS
CREATE TABLE rollup_hourly (
    workspace_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    bucket uuid NOT NULL,
    category text NOT NULL,
    slug text NOT NULL,
    workflow_id uuid,
    agent_id uuid,
    events bigint NOT NULL,
    quantity numeric NOT NULL,
    credits bigint NOT NULL,
    tool_runs bigint NOT NULL,
    PRIMARY KEY (workspace_id, hour, bucket)
) WITH (fillfactor = 75);

-- tenant: how far a tiered price has been filled in a billing period (rule M5)
CREATE TABLE price_counter (
    workspace_id uuid NOT NULL,
    target text NOT NULL,
    period_start timestamptz NOT NULL,
    quantity numeric NOT NULL,
    PRIMARY KEY (workspace_id, target, period_start)
);
