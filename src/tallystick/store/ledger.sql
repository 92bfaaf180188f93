-- name: open_balances
-- Both balance rows of a new workspace.
INSERT INTO balance (workspace_id, unit)
VALUES (%(workspace_id)s::uuid, 'credits'), (%(workspace_id)s::uuid, 'tool_runs')
ON CONFLICT (workspace_id, unit) DO NOTHING

-- name: lock_balances
-- Lock first, in sorted order: an UPDATE … FROM unnest would not (docs/decisions).
SELECT workspace_id, unit, held, overdraft, issued, used, expired, allocation, allocation_no, seq, due_at, resources_no,
    told
FROM balance
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[])
ORDER BY workspace_id, unit
FOR UPDATE

-- name: open_grants
SELECT workspace_id, id, unit, source, amount, remaining, priority, starts_at, expires_at, created_at, reason,
    ended_at, expired, kept
FROM credit_grant
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND remaining > 0

-- name: unended_grants
-- Used-up grants too: a return may refill them.
SELECT workspace_id, id, unit, source, amount, remaining, priority, starts_at, expires_at, created_at, reason,
    ended_at, expired, kept
FROM credit_grant
WHERE workspace_id = ANY(%(workspace_ids)s::uuid[]) AND ended_at IS NULL AND source <> 'history'

-- Arrays go in binary form (%b): psycopg's text form of a list costs several times as much.

-- name: save_balances
UPDATE balance AS b
SET posted = n.posted, held = n.held, overdraft = n.overdraft, issued = n.issued, used = n.used, expired = n.expired,
    allocation = n.allocation, allocation_no = n.allocation_no, seq = n.seq, due_at = n.due_at,
    told = n.told
FROM unnest(
    %(workspace_ids)b::uuid[], %(units)b::text[], %(posted)b::bigint[], %(overdraft)b::bigint[], %(issued)b::bigint[],
    %(used)b::bigint[], %(expired)b::bigint[], %(allocation)b::bigint[], %(allocation_no)b::bigint[],
    %(seq)b::bigint[], %(due_at)b::timestamptz[], %(held)b::bigint[], %(told)b::smallint[]
) AS n (
    workspace_id, unit, posted, overdraft, issued, used, expired, allocation, allocation_no, seq, due_at, held, told
)
WHERE b.workspace_id = n.workspace_id AND b.unit = n.unit AND b.workspace_id = ANY(%(workspace_ids)b::uuid[])

-- name: save_held
-- Where nothing was booked: what is set aside, and until when at the latest.
UPDATE balance AS b
SET held = n.held, due_at = n.due_at
FROM unnest(%(workspace_ids)b::uuid[], %(units)b::text[], %(held)b::bigint[], %(due_at)b::timestamptz[])
    AS n (workspace_id, unit, held, due_at)
WHERE b.workspace_id = n.workspace_id AND b.unit = n.unit AND b.workspace_id = ANY(%(workspace_ids)b::uuid[])

-- name: insert_grants
INSERT INTO credit_grant (
    workspace_id, id, unit, source, amount, remaining, priority, starts_at, expires_at, created_at, reason, ended_at,
    expired, kept
)
SELECT * FROM unnest(
    %(workspace_ids)b::uuid[], %(ids)b::uuid[], %(units)b::text[], %(sources)b::text[], %(amounts)b::bigint[],
    %(remaining)b::bigint[], %(priorities)b::int[], %(starts_at)b::timestamptz[], %(expires_at)b::timestamptz[],
    %(created_at)b::timestamptz[], %(reasons)b::text[], %(ended_at)b::timestamptz[], %(expired)b::bigint[],
    %(kept)b::bigint[]
)

-- name: save_grants
UPDATE credit_grant AS g
SET remaining = n.remaining, expired = n.expired, ended_at = n.ended_at, kept = n.kept
FROM unnest(
    %(workspace_ids)b::uuid[], %(ids)b::uuid[], %(remaining)b::bigint[], %(expired)b::bigint[],
    %(ended_at)b::timestamptz[], %(kept)b::bigint[]
) AS n (workspace_id, id, remaining, expired, ended_at, kept)
WHERE g.workspace_id = n.workspace_id AND g.id = n.id AND g.workspace_id = ANY(%(workspace_ids)b::uuid[])

-- name: add_history
-- One history grant per import, workspace and unit; it grows with what it covers and never has anything left.
INSERT INTO credit_grant (
    workspace_id, id, unit, source, amount, remaining, priority, starts_at, created_at, reason
)
SELECT workspace_id, id, unit, 'history', amount, 0, 0, %(now)s::timestamptz, %(now)s::timestamptz, 'history'
FROM unnest(%(workspace_ids)b::uuid[], %(ids)b::uuid[], %(units)b::text[], %(amounts)b::bigint[])
    AS n (workspace_id, id, unit, amount)
ON CONFLICT (workspace_id, id) DO UPDATE SET amount = credit_grant.amount + excluded.amount

-- name: insert_transactions
INSERT INTO ledger_transaction (workspace_id, unit, seq, id, kind, key, effective_at, created_at, reason, actor)
SELECT workspace_id, unit, seq, id, kind, key, effective_at, %(now)s::timestamptz, reason, actor
FROM unnest(
    %(workspace_ids)b::uuid[], %(units)b::text[], %(seqs)b::bigint[], %(ids)b::uuid[], %(kinds)b::text[],
    %(keys)b::text[], %(effective_at)b::timestamptz[], %(reasons)b::text[], %(actors)b::text[]
) AS n (workspace_id, unit, seq, id, kind, key, effective_at, reason, actor)

-- name: insert_entries
INSERT INTO ledger_entry (workspace_id, unit, seq, position, account, grant_id, amount, balance_after)
SELECT * FROM unnest(
    %(workspace_ids)b::uuid[], %(units)b::text[], %(seqs)b::bigint[], %(positions)b::smallint[],
    %(accounts)b::text[], %(grant_ids)b::uuid[], %(amounts)b::bigint[], %(balances)b::bigint[]
)

-- name: transaction_by_key
SELECT seq, id, kind FROM ledger_transaction
WHERE workspace_id = %(workspace_id)s::uuid AND unit = %(unit)s::text AND key = %(key)s::text

-- name: grant_by_id
SELECT workspace_id, id, unit, source, amount, remaining, priority, starts_at, expires_at, created_at, reason,
    ended_at, expired, kept
FROM credit_grant
WHERE workspace_id = %(workspace_id)s::uuid AND id = %(id)s::uuid

-- name: is_due
SELECT unit FROM balance
WHERE workspace_id = %(workspace_id)s::uuid AND due_at <= %(now)s::timestamptz
LIMIT 1

-- name: due_workspaces
-- What is due by a test clock is settled by whoever moves that.
SELECT DISTINCT b.workspace_id
FROM balance AS b
JOIN workspace AS w ON w.id = b.workspace_id
WHERE b.due_at <= %(now)s::timestamptz AND w.clock_at IS NULL
ORDER BY b.workspace_id
LIMIT %(most)s::int
