-- name: read
SELECT a.*
FROM billing_account AS a
WHERE a.workspace_id = %(workspace_id)s::uuid

-- name: ensure
INSERT INTO billing_account (workspace_id, provider, updated_at)
VALUES (%(workspace_id)s::uuid, %(provider)s::text, %(now)s::timestamptz)
ON CONFLICT (workspace_id) DO NOTHING

-- name: lock
SELECT a.*
FROM billing_account AS a
WHERE a.workspace_id = %(workspace_id)s::uuid
FOR UPDATE

-- name: by_customer
SELECT workspace_id FROM billing_account
WHERE provider = %(provider)s::text AND customer_ref = %(customer_ref)s::text
ORDER BY workspace_id

-- name: save
UPDATE billing_account
SET legal_name = n.legal_name, email = n.email, address = n.address, country = n.country, tax_id = n.tax_id,
    purchase_order = n.purchase_order, locale = n.locale, currency = n.currency, provider = n.provider,
    customer_ref = n.customer_ref, method = n.method, method_at = n.method_at, trial_used_at = n.trial_used_at,
    topup_state = n.topup_state, topup_credits = n.topup_credits, topup_threshold = n.topup_threshold,
    topup_daily_cap = n.topup_daily_cap, topup_error = n.topup_error, updated_at = %(now)s::timestamptz
FROM json_to_record(%(row)s::json) AS n (
    legal_name text, email text, address jsonb, country text, tax_id text, purchase_order text, locale text,
    currency text, provider text, customer_ref text, method jsonb, method_at timestamptz, trial_used_at timestamptz,
    topup_state text, topup_credits bigint, topup_threshold bigint, topup_daily_cap bigint, topup_error text
)
WHERE billing_account.workspace_id = %(workspace_id)s::uuid
