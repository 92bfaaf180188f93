-- What runs and is paid by time: deployments, their hardware, the limits under which they go on, fine-tuning jobs.

-- reference: what a deployment may run on. components splits its price among vCPU, memory and GPU in parts per million
CREATE TABLE hardware_profile (
    key text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('script', 'guardrail', 'model')),
    name text NOT NULL,
    cpu_type text NOT NULL DEFAULT '',
    vcpus numeric NOT NULL,
    memory_gb numeric NOT NULL,
    gpu_type text NOT NULL DEFAULT '',
    gpus integer NOT NULL DEFAULT 0,
    usable text NOT NULL DEFAULT '',
    components jsonb NOT NULL,
    origin text NOT NULL CHECK (origin IN ('operator', 'shipped')),
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);

-- tenant: limits of one workspace in nano-credits (rule M16); the nil workspace has the settings' defaults, null is those.
-- metering_seconds, how often running deployments are charged, stands in the nil workspace's alone
CREATE TABLE spending_limit (
    workspace_id uuid PRIMARY KEY,
    deploy_threshold bigint,
    low_limit bigint,
    negative_limit bigint,
    fine_tune_minimum bigint,
    comply_seconds integer,
    metering_seconds integer,
    updated_at timestamptz NOT NULL
);

-- tenant: something deployed, or about to be. resource_id is the tool, language model, guardrail or script that it is of.
-- metered_until is null unless it is Deployed on hardware; until then all of it has been charged. details holds what only
-- its kind has (language, version, type of the model, endpoint); reason says why it failed or was stopped
CREATE TABLE deployment (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tool', 'model', 'guardrail', 'script')),
    resource_id uuid NOT NULL,
    name text NOT NULL,
    state text NOT NULL CHECK (
        state IN ('draft', 'deploying', 'ready', 'deployed', 'failed', 'stopping', 'undeployed', 'deleted')
    ),
    profile text,
    replicas integer NOT NULL DEFAULT 1 CHECK (replicas >= 1),
    details jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL DEFAULT '',
    comply_by timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deployed_at timestamptz,
    metered_until timestamptz,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX deployment_running ON deployment (workspace_id) WHERE metered_until IS NOT NULL;

CREATE INDEX deployment_resource ON deployment (workspace_id, resource_id);

CREATE INDEX deployment_comply ON deployment (comply_by) WHERE comply_by IS NOT NULL;

-- tenant: append-only: each transition and each change of hardware, as its history shows them
CREATE TABLE deployment_change (
    workspace_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    asked text NOT NULL,
    state text NOT NULL,
    profile text,
    replicas integer NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (workspace_id, deployment_id, number)
);

-- tenant: there while credits stand at or below the low limit and something runs: since the tick that found it so
CREATE TABLE low_credits (
    workspace_id uuid PRIMARY KEY,
    since timestamptz NOT NULL
);

-- tenant: what one deployment was charged on one UTC day: replica time in microseconds, and credits in nano-units. A
-- cache that verify derives again from the usage events that metering books
CREATE TABLE deployment_day (
    workspace_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    day date NOT NULL,
    profile text NOT NULL,
    microseconds bigint NOT NULL,
    credits bigint NOT NULL,
    PRIMARY KEY (workspace_id, deployment_id, day, profile)
);

-- tenant: a fine-tuning job, with the work it announced; estimate is what its gate asked for and hold_id sets aside, in
-- nano-credits. reported is the work as it was done and credits what it was charged, both null until it ended. profile
-- is null where it runs on hardware that is not paid for here
CREATE TABLE fine_tuning_job (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    base_model text NOT NULL,
    model text NOT NULL,
    resource_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled')),
    training_tokens bigint NOT NULL,
    epochs numeric NOT NULL,
    complexity text NOT NULL CHECK (complexity IN ('small', 'medium', 'large')),
    profile text,
    seconds numeric NOT NULL,
    estimate bigint NOT NULL,
    hold_id uuid,
    reported jsonb,
    credits bigint,
    reason text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, id)
);
