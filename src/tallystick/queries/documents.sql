-- name: readers
-- In whose zone and language a document is read, and whether a method to collect from is on file; a workspace without an account is read in English.
SELECT w.zone, coalesce(a.locale, 'en') AS locale, a.method IS NOT NULL AS is_collected
FROM workspace AS w
LEFT JOIN billing_account AS a ON a.workspace_id = w.id
WHERE w.id = %(workspace_id)s::uuid

-- name: agents
SELECT r.id, r.name
FROM resource AS r
WHERE r.workspace_id = %(workspace_id)s::uuid AND r.id = ANY(%(ids)s::uuid[])
