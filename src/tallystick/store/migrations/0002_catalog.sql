-- What things cost: meters, dated price versions, plan versions. Appended, never edited.

-- reference: what each event type means; the shipped ones are inserted by the program, an operator adds more
CREATE TABLE meter (
    type text PRIMARY KEY,
    category text NOT NULL,
    slug text NOT NULL,
    unit text NOT NULL,
    builtin boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);

-- reference: the version in force at an instant is the one with the latest valid_from not after it; an operator's own
-- stands over a shipped or public one of the same target, so that they may start together
CREATE TABLE price_version (
    id uuid PRIMARY KEY,
    target text NOT NULL,
    valid_from timestamptz NOT NULL,
    model text NOT NULL,
    rates jsonb NOT NULL,
    origin text NOT NULL CHECK (origin IN ('operator', 'shipped', 'public')),
    source text NOT NULL,
    source_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    digest bytea NOT NULL,
    UNIQUE (target, origin, valid_from)
);

-- reference
CREATE TABLE plan_version (
    id uuid PRIMARY KEY,
    plan text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    cadence text NOT NULL,
    price_minor bigint NOT NULL,
    currency text NOT NULL,
    included_credits bigint NOT NULL,
    included_tool_runs bigint NOT NULL,
    run_quota bigint,
    at_zero text NOT NULL CHECK (at_zero IN ('deny', 'invoice')),
    rollover_share_ppm integer NOT NULL DEFAULT 0,
    features jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    UNIQUE (plan, version)
);

-- tenant: one live row a workspace (ended_at is null)
CREATE TABLE subscription (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('trialing', 'active', 'past_due', 'paused', 'canceled')),
    anchor_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE UNIQUE INDEX subscription_live ON subscription (workspace_id) WHERE ended_at IS NULL;

-- tenant: stored half-open intervals, so that a past period never depends on today's settings
CREATE TABLE billing_period (
    workspace_id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    subscription_id uuid NOT NULL,
    plan_version_id uuid NOT NULL,
    runs_started bigint NOT NULL DEFAULT 0,
    closed_at timestamptz,
    PRIMARY KEY (workspace_id, starts_at),
    CHECK (starts_at < ends_at)
);

CREATE INDEX billing_period_due ON billing_period (ends_at) WHERE closed_at IS NULL;

-- reference: one row; version grows with every change of meters, prices or plans, so that caches know
CREATE TABLE catalog_state (
    id smallint PRIMARY KEY CHECK (id = 1),
    version bigint NOT NULL
);

INSERT INTO catalog_state (id, version) VALUES (1, 0);
