-- name: sums
-- What the lines, the tax rows and the credit notes of each issued invoice come to.
SELECT i.id, i.number, i.kind, i.net_minor, i.tax_minor, i.total_minor, i.credited_minor, i.taxes,
    coalesce(n.credited, 0)::bigint AS notes, coalesce(l.lines, '[]') AS lines
FROM invoice AS i
LEFT JOIN LATERAL (
    SELECT sum(o.total_minor) AS credited
    FROM invoice AS o
    WHERE o.workspace_id = %(workspace_id)s::uuid AND o.corrects = i.id
) AS n ON true
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_array(g.tax_category, g.tax_rate_ppm, g.amount)) AS lines
    FROM (
        SELECT tax_category, tax_rate_ppm, sum(amount_minor)::bigint AS amount
        FROM invoice_line
        WHERE workspace_id = %(workspace_id)s::uuid AND invoice_id = i.id
        GROUP BY tax_category, tax_rate_ppm
    ) AS g
) AS l ON true
WHERE i.workspace_id = %(workspace_id)s::uuid AND i.number IS NOT NULL
ORDER BY i.issued_at, i.id

-- name: watermarks
-- Invoices of periods whose charges are not those after the invoice before.
SELECT p.id, p.number, p.before, p.through, p.previous_end, p.period_start
FROM (
    SELECT i.id, i.number, i.charged_through AS through, i.period_start,
        lag(i.charged_through) OVER w AS before, lag(i.period_end) OVER w AS previous_end
    FROM invoice AS i
    WHERE i.workspace_id = %(workspace_id)s::uuid AND i.charged_through IS NOT NULL
    WINDOW w AS (ORDER BY i.period_end)
) AS p
WHERE p.through < p.before OR p.period_start < p.previous_end

-- name: usage
-- Usage behind invoices that is not what the charges give: each is on the first invoice whose watermark and whose period's
-- end it lies before.
SELECT coalesce(e.invoice_id, u.invoice_id) AS id, coalesce(e.period_start, u.period_start) AS period_start,
    coalesce(e.category, u.category) AS category, coalesce(e.agent_id, u.agent_id) AS agent_id,
    coalesce(e.events, 0)::bigint AS expected_events, coalesce(u.events, 0) AS events,
    coalesce(e.quantity, 0) AS expected_quantity, coalesce(u.quantity, 0) AS quantity,
    coalesce(e.credits, 0)::bigint AS expected_credits, coalesce(u.credits, 0) AS credits,
    coalesce(e.tool_runs, 0)::bigint AS expected_tool_runs, coalesce(u.tool_runs, 0) AS tool_runs
FROM (
    SELECT n.id AS invoice_id, coalesce(b.starts_at, '1970-01-01 00:00:00+00'::timestamptz) AS period_start,
        c.category, coalesce(c.agent_id, '00000000-0000-0000-0000-000000000000') AS agent_id,
        sum(CASE WHEN c.adjusts IS NOT NULL THEN 0 WHEN c.reverses IS NULL THEN 1 ELSE -1 END) AS events,
        sum(CASE WHEN c.adjusts IS NULL THEN c.quantity ELSE 0 END) AS quantity, sum(c.credits) AS credits,
        sum(c.tool_runs) AS tool_runs
    FROM usage_event AS c
    JOIN LATERAL (
        SELECT i.id
        FROM invoice AS i
        WHERE i.workspace_id = %(workspace_id)s::uuid AND i.charged_through >= c.id AND i.period_end > c.used_at
        ORDER BY i.period_end
        LIMIT 1
    ) AS n ON true
    LEFT JOIN LATERAL (
        SELECT p.starts_at, p.ends_at
        FROM billing_period AS p
        WHERE p.workspace_id = %(workspace_id)s::uuid AND p.starts_at <= c.used_at
        ORDER BY p.starts_at DESC
        LIMIT 1
    ) AS b ON c.used_at < b.ends_at
    WHERE c.workspace_id = %(workspace_id)s::uuid AND c.covered_by IS NULL
    GROUP BY 1, 2, 3, 4
) AS e
FULL JOIN (
    SELECT invoice_id, period_start, category, agent_id, events, quantity, credits, tool_runs
    FROM invoice_usage
    WHERE workspace_id = %(workspace_id)s::uuid
) AS u ON u.invoice_id = e.invoice_id AND u.period_start = e.period_start AND u.category = e.category
    AND u.agent_id = e.agent_id
WHERE (coalesce(e.events, 0), coalesce(e.quantity, 0), coalesce(e.credits, 0), coalesce(e.tool_runs, 0))
    <> (coalesce(u.events, 0), coalesce(u.quantity, 0), coalesce(u.credits, 0), coalesce(u.tool_runs, 0))
ORDER BY 1, 2, 3, 4

-- name: listed
-- Lines of usage that are not the sum of what is behind them.
SELECT coalesce(l.invoice_id, u.invoice_id) AS id, coalesce(l.category, u.category) AS category,
    coalesce(u.credits, 0)::bigint AS expected, coalesce(l.credits, 0)::bigint AS found
FROM (
    SELECT invoice_id, details ->> 'category' AS category, sum(credits) AS credits
    FROM invoice_line
    WHERE workspace_id = %(workspace_id)s::uuid AND kind IN ('usage', 'adjustment')
    GROUP BY 1, 2
) AS l
FULL JOIN (
    SELECT invoice_id, category, sum(credits) AS credits
    FROM invoice_usage
    WHERE workspace_id = %(workspace_id)s::uuid
    GROUP BY 1, 2
) AS u ON u.invoice_id = l.invoice_id AND u.category = l.category
WHERE coalesce(u.credits, 0) <> coalesce(l.credits, 0)
ORDER BY 1, 2

-- name: numbers
-- Of each series: how many numbers were taken, how many stand, and the first that is missing or stands twice.
SELECT s.series, s.next_number - 1 AS taken, count(i.number) AS standing, count(DISTINCT i.number) AS distinct_numbers
FROM invoice_series AS s
LEFT JOIN invoice AS i ON i.series = s.series AND i.number IS NOT NULL
GROUP BY s.series, s.next_number
HAVING count(i.number) <> s.next_number - 1 OR count(DISTINCT i.number) <> s.next_number - 1
ORDER BY s.series
