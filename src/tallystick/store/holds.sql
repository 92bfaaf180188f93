-- Keys by themselves, not joined in pairs: a plan of pairs that is made while the table is young reads all of a workspace,
-- and is kept while it grows (6 ms in place of 0.1 at ten thousand holds). The caller takes the pairs it asked for.

-- name: by_id
SELECT h.*
FROM hold AS h
WHERE h.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND h.id = ANY(%(ids)s::uuid[])

-- name: by_key
SELECT h.*
FROM hold AS h
WHERE h.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND h.key = ANY(%(keys)s::text[])

-- name: lapsed
SELECT h.*
FROM hold AS h
WHERE h.workspace_id = %(workspace_id)s::uuid AND h.status = 'held' AND h.expires_at <= %(now)s::timestamptz
ORDER BY h.expires_at, h.id

-- name: next_end
SELECT min(h.expires_at) AS ends_at
FROM hold AS h
WHERE h.workspace_id = %(workspace_id)s::uuid AND h.status = 'held' AND h.expires_at > %(now)s::timestamptz

-- Rows go as JSON: one parameter in place of an array for each column, which psycopg would adapt one by one.

-- name: insert
INSERT INTO hold (
    workspace_id, id, key, request_hash, status, credits, tool_runs, asked_credits, asked_tool_runs, settled_credits,
    settled_tool_runs, run, project_id, user_id, workflow_id, agent_id, api_key, names, created_at, expires_at,
    finished_at, finish_key, finish_hash
)
SELECT workspace_id, id, key, decode(request_hash, 'base64'), status, credits, tool_runs, asked_credits,
    asked_tool_runs, settled_credits, settled_tool_runs, run, project_id, user_id, workflow_id, agent_id, api_key,
    names, created_at, expires_at, finished_at, finish_key, decode(finish_hash, 'base64')
FROM json_to_recordset(%(rows)s::json) AS n (
    workspace_id uuid, id uuid, key text, request_hash text, status text, credits bigint, tool_runs bigint,
    asked_credits bigint, asked_tool_runs bigint, settled_credits bigint, settled_tool_runs bigint, run text,
    project_id uuid, user_id uuid, workflow_id uuid, agent_id uuid, api_key text, names text, created_at timestamptz,
    expires_at timestamptz, finished_at timestamptz, finish_key text, finish_hash text
)

-- name: update
UPDATE hold AS h
SET status = n.status, credits = n.credits, tool_runs = n.tool_runs, settled_credits = n.settled_credits,
    settled_tool_runs = n.settled_tool_runs, expires_at = n.expires_at, finished_at = n.finished_at,
    finish_key = n.finish_key, finish_hash = decode(n.finish_hash, 'base64')
FROM json_to_recordset(%(rows)s::json) AS n (
    workspace_id uuid, id uuid, status text, credits bigint, tool_runs bigint, settled_credits bigint,
    settled_tool_runs bigint, expires_at timestamptz, finished_at timestamptz, finish_key text, finish_hash text
)
WHERE h.workspace_id = n.workspace_id AND h.id = n.id AND h.workspace_id = ANY(%(workspace_ids)s::uuid[])
    AND h.id = ANY(%(ids)s::uuid[])

-- name: standings
-- What the gate asks of each workspace besides its money: its plan's terms and the state of its subscription.
SELECT s.workspace_id, s.id AS subscription_id, s.status, s.resumes_to, s.overage_cap, p.name AS plan, p.at_zero,
    p.run_quota, d.runs_started, d.overage_invoiced
FROM subscription AS s
JOIN plan_version AS p ON p.id = s.plan_version_id
JOIN billing_period AS d ON d.workspace_id = s.workspace_id AND d.subscription_id = s.id AND d.closed_at IS NULL
WHERE s.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND s.ended_at IS NULL

-- name: started
SELECT r.workspace_id, r.run
FROM run_start AS r
WHERE r.workspace_id = ANY(%(workspace_ids)s::uuid[]) AND r.run = ANY(%(runs)s::text[])

-- name: start
INSERT INTO run_start (workspace_id, run, started_at)
SELECT workspace_id, run, %(now)s::timestamptz
FROM unnest(%(workspace_ids)s::uuid[], %(runs)s::text[]) AS n (workspace_id, run)
ON CONFLICT (workspace_id, run) DO NOTHING

-- name: count_runs
UPDATE billing_period AS d
SET runs_started = d.runs_started + n.runs
FROM unnest(%(workspace_ids)s::uuid[], %(runs)s::bigint[]) AS n (workspace_id, runs)
WHERE d.workspace_id = n.workspace_id AND d.closed_at IS NULL AND d.workspace_id = ANY(%(workspace_ids)s::uuid[])
