-- Who is there: workspaces, people, their roles, tokens, and the resources that usage is attributed to.
-- Class of each table (docs/decisions): reference = small, same on every node; tenant = sharded by workspace_id.

-- reference
CREATE TABLE workspace (
    id uuid PRIMARY KEY,
    key text UNIQUE,
    name text NOT NULL,
    email text,
    zone text NOT NULL DEFAULT 'UTC',
    created_at timestamptz NOT NULL,
    closed_at timestamptz
);

-- reference: a person with a login; the platform's end users are resources of kind `user`
CREATE TABLE person (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL
);

-- reference: read on every request, before the workspace is known; workspace_id is null for an operator's token
CREATE TABLE api_token (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    last4 text NOT NULL,
    name text NOT NULL,
    workspace_id uuid,
    person_id uuid,
    permissions text[] NOT NULL,
    is_operator boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX api_token_workspace ON api_token (workspace_id);

-- tenant
CREATE TABLE member (
    workspace_id uuid NOT NULL,
    person_id uuid NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    permissions text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, person_id)
);

-- tenant: anything usage is attributed to, teams and projects included; id derives from (workspace, kind, key)
CREATE TABLE resource (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    attributes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, kind, key)
);

-- tenant: the first answer to a request that carried an Idempotency-Key
CREATE TABLE idempotency_key (
    workspace_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    response jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, route, key)
);

-- tenant: every change of money or rights; the nil workspace holds what concerns no single one
CREATE TABLE audit_entry (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    reason text NOT NULL DEFAULT '',
    details jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, id)
);
