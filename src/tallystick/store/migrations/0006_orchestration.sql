-- What runs: workflows with their releases, runs, the executions of their nodes, batches of runs.
-- data, nodes, output and the like are JSON as it came: text, so that every number keeps its digits.

-- tenant: a play or tool that has nodes of its own here; name, kind and whether it is enabled are the resource's
CREATE TABLE workflow (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    release_id uuid NOT NULL,
    concurrency_limit integer CHECK (concurrency_limit > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

-- tenant: appended, never edited, so that a run keeps the nodes it was made with
CREATE TABLE workflow_release (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    version integer NOT NULL,
    nodes json NOT NULL,
    max_steps integer CHECK (max_steps > 0),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, workflow_id, version)
);

-- tenant: one run for each record; the counts are those of its runs by how they ended
CREATE TABLE batch (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    release_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'running', 'success', 'error', 'cancelling', 'cancelled')),
    reason text,
    error_message text,
    runs integer NOT NULL CHECK (runs > 0),
    succeeded integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CHECK (succeeded + failed + skipped + cancelled <= runs)
);

CREATE INDEX batch_open ON batch (workspace_id, workflow_id) WHERE status IN ('pending', 'running');

-- tenant: one pass of a workflow; position is its place in its batch. nodes is null where those of the release run.
-- Whoever knows lease may report on the run until another has claimed it; claims counts how often that happened.
CREATE TABLE run (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    release_id uuid NOT NULL,
    batch_id uuid,
    position integer NOT NULL DEFAULT 0,
    status text NOT NULL CHECK (
        status IN ('idle', 'pending', 'running', 'success', 'error', 'cancelling', 'cancelled', 'skipped')
    ),
    reason text,
    error_message text,
    data json NOT NULL,
    nodes json,
    output json,
    runner text,
    lease uuid,
    lease_expires_at timestamptz,
    claims integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, id)
) WITH (fillfactor = 80);

-- What waits for a runner: alone, oldest first, and of each batch in its order.
CREATE INDEX run_pending ON run (workspace_id, workflow_id, created_at) WHERE status = 'pending';

CREATE INDEX run_idle ON run (workspace_id, batch_id, position) WHERE status = 'idle';

-- What a runner has, and until when.
CREATE INDEX run_going ON run (workspace_id, workflow_id, batch_id, lease_expires_at)
    WHERE status IN ('running', 'cancelling');

CREATE INDEX run_batch ON run (workspace_id, batch_id, position) WHERE batch_id IS NOT NULL;

CREATE INDEX run_created ON run (workspace_id, created_at, position);

-- tenant: one node in one run, as its runner reports it
CREATE TABLE execution (
    workspace_id uuid NOT NULL,
    run_id uuid NOT NULL,
    id uuid NOT NULL,
    node_id uuid NOT NULL,
    node_slug text NOT NULL,
    node_kind text NOT NULL,
    node_action text,
    child_index integer,
    next_node_id uuid,
    attempt integer NOT NULL CHECK (attempt > 0),
    status text NOT NULL CHECK (status IN ('running', 'success', 'error', 'cancelled', 'skipped')),
    title text NOT NULL DEFAULT '',
    output json,
    error_message text,
    computed_config json,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, run_id, id)
);
