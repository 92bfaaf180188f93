-- name: insert_person
INSERT INTO person (id, email, first_name, last_name, created_at)
VALUES (%(id)s::uuid, %(email)s::text, %(first_name)s::text, %(last_name)s::text, %(created_at)s::timestamptz)
ON CONFLICT (email) DO NOTHING;

-- name: person_by_email
SELECT id, email, first_name, last_name, created_at
FROM person
WHERE email = %(email)s::text;

-- name: lock_members
-- Every membership of one workspace: changes of members are rare, and the last owner is among them.
SELECT person_id, role, permissions
FROM member
WHERE workspace_id = %(workspace_id)s::uuid
ORDER BY person_id
FOR UPDATE;

-- name: insert_member
INSERT INTO member (workspace_id, person_id, role, permissions, created_at)
VALUES (%(workspace_id)s::uuid, %(person_id)s::uuid, %(role)s::text, %(permissions)s::text[],
        %(created_at)s::timestamptz)
ON CONFLICT (workspace_id, person_id) DO NOTHING
RETURNING person_id;

-- name: update_member
UPDATE member SET role = %(role)s::text, permissions = %(permissions)s::text[]
WHERE workspace_id = %(workspace_id)s::uuid AND person_id = %(person_id)s::uuid;

-- name: delete_member
DELETE FROM member
WHERE workspace_id = %(workspace_id)s::uuid AND person_id = %(person_id)s::uuid;

-- name: member_by_person
SELECT person_id, role, permissions
FROM member
WHERE workspace_id = %(workspace_id)s::uuid AND person_id = %(person_id)s::uuid;
