-- name: report
-- What is deferred at a month's end is everything on that account until then; a month without any movement stands too.
WITH moved AS (
    SELECT date_trunc('month', m.at AT TIME ZONE 'UTC')::date AS month, m.currency,
        sum(CASE WHEN m.account = 'deferred' THEN -m.amount_minor ELSE 0 END) AS deferred,
        sum(CASE WHEN m.account = 'deferred' AND m.cause = 'purchase' THEN -m.amount_minor ELSE 0 END) AS sold,
        sum(CASE WHEN m.account = 'revenue' THEN -m.amount_minor ELSE 0 END) AS recognised,
        sum(CASE WHEN m.account = 'breakage' THEN -m.amount_minor ELSE 0 END) AS breakage,
        sum(CASE WHEN m.account IN ('deferred', 'revenue', 'breakage') AND m.cause = 'refund' THEN m.amount_minor
            ELSE 0 END) AS refunded,
        sum(CASE WHEN m.account IN ('deferred', 'revenue', 'breakage') AND m.cause = 'chargeback' THEN m.amount_minor
            ELSE 0 END) AS charged_back,
        sum(CASE WHEN m.account = 'tax' THEN -m.amount_minor ELSE 0 END) AS tax
    FROM money_entry AS m
    WHERE m.at < (date_trunc('month', %(until)s::date::timestamp) + interval '1 month') AT TIME ZONE 'UTC'
    GROUP BY 1, 2
), calendar AS (
    SELECT s.month::date AS month, c.currency
    FROM generate_series(
        date_trunc('month', %(since)s::date::timestamp), date_trunc('month', %(until)s::date::timestamp),
        interval '1 month'
    ) AS s (month)
    CROSS JOIN (SELECT DISTINCT moved.currency FROM moved) AS c
)
SELECT c.month, c.currency, coalesce(v.sold, 0)::bigint AS sold, coalesce(v.recognised, 0)::bigint AS recognised,
    coalesce(v.breakage, 0)::bigint AS breakage, coalesce(v.refunded, 0)::bigint AS refunded,
    coalesce(v.charged_back, 0)::bigint AS charged_back, coalesce(v.tax, 0)::bigint AS tax,
    (
        SELECT coalesce(sum(e.deferred), 0)::bigint FROM moved AS e
        WHERE e.currency = c.currency AND e.month <= c.month
    ) AS deferred
FROM calendar AS c
LEFT JOIN moved AS v ON v.month = c.month AND v.currency = c.currency
ORDER BY c.month, c.currency
