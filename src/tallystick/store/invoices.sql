-- name: insert
INSERT INTO invoice (
    workspace_id, id, kind, purpose, status, series, number, currency, period_start, period_end, subscription_id,
    issued_at, due_at, paid_at, closed_at, net_minor, tax_minor, total_minor, paid_minor, credited_minor, taxes, seller,
    buyer, corrects, reason, charged_through, attempts, next_at, created_at, updated_at
)
SELECT workspace_id, id, kind, purpose, status, series, number, currency, period_start, period_end, subscription_id,
    issued_at, due_at, paid_at, closed_at, net_minor, tax_minor, total_minor, paid_minor, credited_minor, taxes,
    coalesce(seller, '{}'), coalesce(buyer, '{}'), corrects, reason, charged_through, attempts, next_at, created_at,
    updated_at
FROM json_to_record(%(row)s::json) AS n (
    workspace_id uuid, id uuid, kind text, purpose text, status text, series text, number text, currency text,
    period_start timestamptz, period_end timestamptz, subscription_id uuid, issued_at timestamptz, due_at timestamptz,
    paid_at timestamptz, closed_at timestamptz, net_minor bigint, tax_minor bigint, total_minor bigint,
    paid_minor bigint, credited_minor bigint, taxes jsonb, seller jsonb, buyer jsonb, corrects uuid, reason text,
    charged_through uuid, attempts integer, next_at timestamptz, created_at timestamptz, updated_at timestamptz
)

-- name: save
-- Kind, purpose, period and what it corrects stay.
UPDATE invoice
SET status = n.status, series = n.series, number = n.number, currency = n.currency, issued_at = n.issued_at,
    due_at = n.due_at, paid_at = n.paid_at, closed_at = n.closed_at, net_minor = n.net_minor, tax_minor = n.tax_minor,
    total_minor = n.total_minor, paid_minor = n.paid_minor, credited_minor = n.credited_minor, taxes = n.taxes,
    seller = coalesce(n.seller, '{}'), buyer = coalesce(n.buyer, '{}'), reason = n.reason,
    charged_through = n.charged_through, attempts = n.attempts, next_at = n.next_at, updated_at = n.updated_at
FROM json_to_record(%(row)s::json) AS n (
    workspace_id uuid, id uuid, status text, series text, number text, currency text, issued_at timestamptz,
    due_at timestamptz, paid_at timestamptz, closed_at timestamptz, net_minor bigint, tax_minor bigint,
    total_minor bigint, paid_minor bigint, credited_minor bigint, taxes jsonb, seller jsonb, buyer jsonb, reason text,
    charged_through uuid, attempts integer, next_at timestamptz, updated_at timestamptz
)
WHERE invoice.workspace_id = %(workspace_id)s::uuid AND invoice.id = %(id)s::uuid

-- name: by_id
SELECT i.*
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.id = %(id)s::uuid

-- name: lock
SELECT i.*
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.id = %(id)s::uuid
FOR UPDATE

-- name: lock_open
-- What of a workspace is still to be paid, the oldest first.
SELECT i.*
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.kind = 'invoice' AND i.status IN ('issued', 'past_due')
ORDER BY i.issued_at, i.id
FOR UPDATE

-- name: due
-- A workspace with a test clock is turned by its clock alone.
SELECT i.workspace_id, i.id
FROM invoice AS i
JOIN workspace AS w ON w.id = i.workspace_id
WHERE i.next_at <= %(now)s::timestamptz
    AND (CASE WHEN %(workspace_id)s::uuid IS NULL THEN w.clock_at IS NULL
        ELSE i.workspace_id = %(workspace_id)s::uuid END)
ORDER BY i.next_at, i.workspace_id, i.id
LIMIT %(limit)s::bigint

-- name: next_number
INSERT INTO invoice_series AS s (series, next_number)
VALUES (%(series)s::text, 2)
ON CONFLICT (series) DO UPDATE SET next_number = s.next_number + 1
RETURNING next_number - 1 AS number

-- name: insert_lines
INSERT INTO invoice_line (
    workspace_id, invoice_id, position, kind, description, quantity, unit, unit_price, amount_minor, tax_category,
    tax_rate_ppm, credits, period_start, period_end, details
)
SELECT %(workspace_id)s::uuid, %(invoice_id)s::uuid, position, kind, description, quantity::numeric, unit,
    unit_price::numeric, amount_minor, tax_category, tax_rate_ppm, credits, period_start, period_end, details
FROM json_to_recordset(%(rows)s::json) AS n (
    position integer, kind text, description text, quantity text, unit text, unit_price text, amount_minor bigint,
    tax_category text, tax_rate_ppm integer, credits bigint, period_start timestamptz, period_end timestamptz,
    details jsonb
)

-- name: lines
SELECT l.position, l.kind, l.description, l.quantity, l.unit, l.unit_price, l.amount_minor, l.tax_category,
    l.tax_rate_ppm, l.credits, l.period_start, l.period_end, l.details
FROM invoice_line AS l
WHERE l.workspace_id = %(workspace_id)s::uuid AND l.invoice_id = %(invoice_id)s::uuid
ORDER BY l.position

-- name: insert_usage
INSERT INTO invoice_usage (
    workspace_id, invoice_id, period_start, category, agent_id, events, quantity, credits, tool_runs
)
SELECT %(workspace_id)s::uuid, %(invoice_id)s::uuid, period_start, category, agent_id, events, quantity::numeric,
    credits, tool_runs
FROM json_to_recordset(%(rows)s::json) AS n (
    period_start timestamptz, category text, agent_id uuid, events bigint, quantity text, credits bigint,
    tool_runs bigint
)

-- name: usage
SELECT u.period_start, u.category, u.agent_id, u.events, u.quantity, u.credits, u.tool_runs
FROM invoice_usage AS u
WHERE u.workspace_id = %(workspace_id)s::uuid AND u.invoice_id = %(invoice_id)s::uuid
ORDER BY u.period_start, u.category, u.agent_id
