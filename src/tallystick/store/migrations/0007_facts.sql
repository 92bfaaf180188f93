-- What is told to people and programs, and how far that has got. A fact is written in the transaction that caused it.

-- What of this balance's allocation has been told: the highest threshold in percent (rule M19). A balance that was never
-- given anything is all used; those that there are begin with what they have reached.
ALTER TABLE balance ADD COLUMN told smallint NOT NULL DEFAULT 100;

UPDATE balance SET told = coalesce(
    (
        SELECT max(step) FROM unnest(ARRAY[0, 20, 50, 70, 80, 90]) AS step
        WHERE round((allocation - posted)::numeric * 10000 / allocation) >= step * 100
    ), 0)
WHERE allocation > 0 AND posted > 0;

-- A test clock: what time it is for this workspace, null where it is the machine's (rule M30).
ALTER TABLE workspace ADD COLUMN clock_at timestamptz;

-- tenant: something that happened and is told to the outside; its id is derived where it must not be told twice. at is
-- when it happened by the workspace's clock, fanned_at when its mails and deliveries were made, null until then
CREATE TABLE fact (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    fanned_at timestamptz,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX fact_waiting ON fact (created_at) WHERE fanned_at IS NULL;

CREATE INDEX fact_at ON fact (workspace_id, at);

-- tenant: one mail to one person about one fact. dedup makes it one a day and threshold (rule M19); message_id is stable,
-- so that whoever gets it twice sees one. kept is for reading in the outbox, where no SMTP server is named
CREATE TABLE mail (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    fact_id uuid NOT NULL,
    person_id uuid NOT NULL,
    kind text NOT NULL,
    dedup text NOT NULL,
    to_address text NOT NULL,
    message_id text NOT NULL,
    subject text NOT NULL,
    html text NOT NULL,
    plain text NOT NULL,
    status text NOT NULL CHECK (status IN ('queued', 'sent', 'kept', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    error text,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, person_id, dedup)
);

CREATE INDEX mail_due ON mail (next_at) WHERE status = 'queued';

-- tenant: what a member wants mails about; no row is the default of that kind
CREATE TABLE notification_preference (
    workspace_id uuid NOT NULL,
    person_id uuid NOT NULL,
    topic text NOT NULL,
    mail boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, person_id, topic)
);

-- tenant: a banner that a member put away; banner names it until the next threshold
CREATE TABLE dismissal (
    workspace_id uuid NOT NULL,
    person_id uuid NOT NULL,
    banner text NOT NULL,
    dismissed_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, person_id, banner)
);

-- tenant: where facts are posted. kinds is empty for all of them; the previous secret signs beside the current one until
-- previous_until. disabled_because is of one that is not enabled, failing_since the first failure after the last success,
-- failing_told_at when admins were told of it
CREATE TABLE webhook_endpoint (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    kinds text[] NOT NULL DEFAULT '{}',
    secret text NOT NULL,
    previous_secret text,
    previous_until timestamptz,
    is_enabled boolean NOT NULL DEFAULT true,
    disabled_because text CHECK (disabled_because IN ('asked', 'gone')),
    failing_since timestamptz,
    failing_told_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (workspace_id, id)
);

-- tenant: one fact on its way to one endpoint. next_at of a delivery that is being made is when another may take it;
-- attempts_before are those made before it was last replayed, since which its tries count
CREATE TABLE webhook_delivery (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    fact_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('queued', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    attempts_before integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, endpoint_id, fact_id)
);

CREATE INDEX webhook_delivery_due ON webhook_delivery (next_at) WHERE status = 'queued';

CREATE INDEX webhook_delivery_log ON webhook_delivery (workspace_id, endpoint_id, created_at);

-- tenant: append-only: each time a delivery was tried
CREATE TABLE webhook_attempt (
    workspace_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    milliseconds integer NOT NULL,
    status_code integer,
    error text,
    answer text NOT NULL DEFAULT '',
    PRIMARY KEY (workspace_id, delivery_id, number)
);

-- local: how each kind of background work goes, whoever does it. well_at is when it was last known to be well: its last
-- turn without a failure, or its first start; failures are those since then, error is of the last of them. done counts all
-- that was ever done
CREATE TABLE job_turn (
    name text PRIMARY KEY,
    every_seconds integer NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    well_at timestamptz NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    error text
);
