-- What keeps work from starting that can't be paid for: amounts set aside, and the workspace's own caps.

-- tenant: an amount set aside for work that runs. credits and tool_runs are what is still set aside, 0 once it ended;
-- asked_* is what was approved, settled_* what its settles booked. key is the request's Idempotency-Key, finish_key that
-- of the request that ended it. Resources are by id, run and api_key as reported; names is JSON of how the request called
-- the resources, for the usage that a settle by amount makes up.
CREATE TABLE hold (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status text NOT NULL CHECK (status IN ('held', 'settled', 'voided', 'expired')),
    credits bigint NOT NULL CHECK (credits >= 0),
    tool_runs bigint NOT NULL CHECK (tool_runs >= 0),
    asked_credits bigint NOT NULL,
    asked_tool_runs bigint NOT NULL,
    settled_credits bigint NOT NULL DEFAULT 0,
    settled_tool_runs bigint NOT NULL DEFAULT 0,
    run text,
    project_id uuid,
    user_id uuid,
    workflow_id uuid,
    agent_id uuid,
    api_key text,
    names text NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    finished_at timestamptz,
    finish_key text,
    finish_hash bytea,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, key)
) WITH (fillfactor = 80);

CREATE INDEX hold_open ON hold (workspace_id, expires_at) WHERE status = 'held';

-- tenant: a cap that the workspace sets itself; subject null means every one of that scope has this cap of its own,
-- and the workspace itself for scope `workspace`. subject is a resource's id, or the key as text for scope `apiKey`
CREATE TABLE budget (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    scope text NOT NULL CHECK (scope IN ('workspace', 'project', 'user', 'workflow', 'agent', 'apiKey')),
    subject text,
    per text NOT NULL CHECK (per IN ('run', 'day', 'month')),
    unit text NOT NULL CHECK (unit IN ('credits', 'tool_runs')),
    amount bigint NOT NULL CHECK (amount >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (workspace_id, id)
);

-- tenant: how far a budget is used in one window, for one subject: charges of the window, and what open holds of it
-- set aside. The window is a UTC day (2026-03-14), a UTC month (2026-03) or a run, as reported
CREATE TABLE budget_usage (
    workspace_id uuid NOT NULL,
    budget_id uuid NOT NULL,
    subject text NOT NULL,
    "window" text NOT NULL,
    spent bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, budget_id, subject, "window")
);

-- tenant: a run that a hold was placed for, or that was started here, once: what the plan's run quota counts
CREATE TABLE run_start (
    workspace_id uuid NOT NULL,
    run text NOT NULL,
    started_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, run)
);
