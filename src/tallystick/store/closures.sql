-- name: lock
SELECT closed_at FROM workspace WHERE id = %(workspace_id)s::uuid FOR UPDATE

-- name: close
UPDATE workspace SET closed_at = %(now)s::timestamptz WHERE id = %(workspace_id)s::uuid

-- name: revoke_tokens
UPDATE api_token SET revoked_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND revoked_at IS NULL

-- name: open_holds
SELECT h.*
FROM hold AS h
WHERE h.workspace_id = %(workspace_id)s::uuid AND h.status = 'held'
ORDER BY h.id

-- name: drafts
SELECT id FROM invoice
WHERE workspace_id = %(workspace_id)s::uuid AND status = 'draft'
ORDER BY period_start, id

-- name: to_blank
-- A workspace on a test clock has no time of its own to wait for.
SELECT id FROM workspace
WHERE closed_at <= %(before)s::timestamptz AND blanked_at IS NULL AND clock_at IS NULL
ORDER BY closed_at, id
LIMIT %(limit)s::int

-- name: blank_people
-- Only those who are members of this workspace alone.
UPDATE person AS p
SET email = 'blanked-' || p.id || '@invalid', first_name = '', last_name = ''
FROM member AS m
WHERE m.workspace_id = %(workspace_id)s::uuid AND p.id = m.person_id
    AND NOT EXISTS (
        SELECT FROM member AS o
        WHERE o.person_id = m.person_id AND o.workspace_id <> %(workspace_id)s::uuid
    )

-- name: blank_members
DELETE FROM member WHERE workspace_id = %(workspace_id)s::uuid

-- name: blank_users
-- The platform's end users: what they are called goes, what they used stays under their uuid.
UPDATE resource
SET key = id::text, name = '', description = '', attributes = '{}', updated_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid AND kind = 'user'

-- name: blank_mails
UPDATE mail
SET to_address = '', subject = '', html = '', plain = '',
    status = CASE WHEN status = 'queued' THEN 'dead' ELSE status END
WHERE workspace_id = %(workspace_id)s::uuid

-- name: blank_account
-- What issued invoices say of their buyer is kept with them.
UPDATE billing_account
SET email = NULL, address = '{}', tax_id = NULL, purchase_order = NULL, method = NULL, legal_name = '',
    updated_at = %(now)s::timestamptz
WHERE workspace_id = %(workspace_id)s::uuid

-- name: blank_workspace
UPDATE workspace SET email = NULL, blanked_at = %(now)s::timestamptz WHERE id = %(workspace_id)s::uuid
