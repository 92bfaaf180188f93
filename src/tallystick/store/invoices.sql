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

-- name: delete_lines
DELETE FROM invoice_line WHERE workspace_id = %(workspace_id)s::uuid AND invoice_id = %(invoice_id)s::uuid

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

-- name: notes
SELECT i.*
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.corrects = %(invoice_id)s::uuid
ORDER BY i.issued_at, i.id

-- name: delete_draft
WITH dropped AS (
    DELETE FROM invoice AS i
    WHERE i.workspace_id = %(workspace_id)s::uuid AND i.id = %(id)s::uuid AND i.status = 'draft' AND i.number IS NULL
    RETURNING i.workspace_id, i.id
)
DELETE FROM invoice_line AS l
USING dropped AS d
WHERE l.workspace_id = d.workspace_id AND l.invoice_id = d.id AND l.workspace_id = %(workspace_id)s::uuid

-- name: previous
-- The invoice of the period before, issued or not: which charges were listed until then.
SELECT i.id, i.status, i.period_end, i.charged_through
FROM invoice AS i
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.kind = 'invoice' AND i.purpose IN ('period', 'closing')
    AND i.period_end <= %(period_start)s::timestamptz AND (i.charged_through IS NOT NULL OR i.status = 'draft')
ORDER BY i.period_end DESC
LIMIT 1

-- name: usage_within
-- What was used in a period and booked up to a watermark, from the totals of whole days and the charges of its edges; of
-- those days again without what was booked after it. The totals' rules: a reversal counts against its original, an
-- adjustment prices what was counted when it was reported. An import's past is no part of any period (rule M13).
SELECT %(period_start)s::timestamptz AS period_start, u.category, u.agent_id, sum(u.events)::bigint AS events,
    sum(u.quantity) AS quantity, sum(u.credits)::bigint AS credits, sum(u.tool_runs)::bigint AS tool_runs
FROM (
    SELECT r.category, coalesce(r.agent_id, '00000000-0000-0000-0000-000000000000') AS agent_id, r.events, r.quantity,
        r.credits, r.tool_runs
    FROM rollup_daily AS r
    WHERE r.workspace_id = %(workspace_id)s::uuid AND r.day >= %(first_day)s::date AND r.day < %(end_day)s::date
    UNION ALL
    SELECT e.category, coalesce(e.agent_id, '00000000-0000-0000-0000-000000000000'),
        CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END,
        CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END, e.credits, e.tool_runs
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.used_at >= %(period_start)s::timestamptz
        AND e.used_at < %(days_start)s::timestamptz AND e.id <= %(through)s::uuid
    UNION ALL
    SELECT e.category, coalesce(e.agent_id, '00000000-0000-0000-0000-000000000000'),
        CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END,
        CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END, e.credits, e.tool_runs
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.used_at >= %(days_end)s::timestamptz
        AND e.used_at < %(period_end)s::timestamptz AND e.id <= %(through)s::uuid
    UNION ALL
    SELECT e.category, coalesce(e.agent_id, '00000000-0000-0000-0000-000000000000'),
        -(CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END),
        -(CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END), -e.credits, -e.tool_runs
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.used_at >= %(days_start)s::timestamptz
        AND e.used_at < %(days_end)s::timestamptz AND e.id > %(through)s::uuid
        AND e.received_at - e.used_at >= interval '45 minutes'
) AS u
GROUP BY u.category, u.agent_id
HAVING sum(u.events) <> 0 OR sum(u.quantity) <> 0 OR sum(u.credits) <> 0 OR sum(u.tool_runs) <> 0
ORDER BY u.category, u.agent_id

-- name: usage_before
-- Usage of earlier periods that no invoice has listed: booked since the last one, or used since it ended.
SELECT coalesce(b.starts_at, '1970-01-01 00:00:00+00'::timestamptz) AS period_start,
    coalesce(b.ends_at, %(period_start)s::timestamptz) AS period_end, u.category, u.agent_id,
    sum(u.events)::bigint AS events, sum(u.quantity) AS quantity, sum(u.credits)::bigint AS credits,
    sum(u.tool_runs)::bigint AS tool_runs
FROM (
    SELECT e.used_at, e.category, coalesce(e.agent_id, '00000000-0000-0000-0000-000000000000') AS agent_id,
        CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END AS events,
        CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END AS quantity, e.credits, e.tool_runs
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.used_at >= %(since)s::timestamptz
        AND e.used_at < %(period_start)s::timestamptz AND e.id <= %(through)s::uuid AND e.covered_by IS NULL
    UNION ALL
    SELECT e.used_at, e.category, coalesce(e.agent_id, '00000000-0000-0000-0000-000000000000'),
        CASE WHEN e.adjusts IS NOT NULL THEN 0 WHEN e.reverses IS NULL THEN 1 ELSE -1 END,
        CASE WHEN e.adjusts IS NULL THEN e.quantity ELSE 0 END, e.credits, e.tool_runs
    FROM usage_event AS e
    WHERE e.workspace_id = %(workspace_id)s::uuid AND e.id > %(after)s::uuid AND e.id <= %(through)s::uuid
        AND e.used_at < %(since)s::timestamptz AND e.covered_by IS NULL
        AND e.received_at - e.used_at >= interval '45 minutes'
) AS u
LEFT JOIN LATERAL (
    SELECT p.starts_at, p.ends_at
    FROM billing_period AS p
    WHERE p.workspace_id = %(workspace_id)s::uuid AND p.starts_at <= u.used_at
    ORDER BY p.starts_at DESC
    LIMIT 1
) AS b ON u.used_at < b.ends_at
GROUP BY b.starts_at, b.ends_at, u.category, u.agent_id
HAVING sum(u.events) <> 0 OR sum(u.quantity) <> 0 OR sum(u.credits) <> 0 OR sum(u.tool_runs) <> 0
ORDER BY 1, u.category, u.agent_id
