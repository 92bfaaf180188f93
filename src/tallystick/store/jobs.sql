-- name: forget_others
DELETE FROM job_turn WHERE name <> ALL(%(names)s::text[])

-- name: register
INSERT INTO job_turn (name, every_seconds, well_at)
SELECT name, every_seconds, %(now)s::timestamptz
FROM unnest(%(names)s::text[], %(every)s::int[]) AS n (name, every_seconds)
ORDER BY name
ON CONFLICT (name) DO UPDATE SET every_seconds = excluded.every_seconds

-- name: begun
INSERT INTO job_turn (name, every_seconds, started_at, well_at)
VALUES (%(name)s::text, %(every_seconds)s::int, %(now)s::timestamptz, %(now)s::timestamptz)
ON CONFLICT (name) DO UPDATE
SET every_seconds = excluded.every_seconds, started_at = greatest(job_turn.started_at, excluded.started_at)

-- name: ended
-- Turns of several workers may end in another order than they began.
INSERT INTO job_turn (name, every_seconds, started_at, finished_at, well_at, done, failures, error)
VALUES (
    %(name)s::text, %(every_seconds)s::int, %(started_at)s::timestamptz, %(finished_at)s::timestamptz,
    CASE WHEN %(error)s::text IS NULL THEN %(finished_at)s::timestamptz ELSE %(started_at)s::timestamptz END,
    %(done)s::bigint, CASE WHEN %(error)s::text IS NULL THEN 0 ELSE 1 END, %(error)s::text
)
ON CONFLICT (name) DO UPDATE
SET every_seconds = excluded.every_seconds,
    started_at = greatest(job_turn.started_at, excluded.started_at),
    finished_at = greatest(job_turn.finished_at, excluded.finished_at),
    well_at = CASE
        WHEN excluded.error IS NULL THEN greatest(job_turn.well_at, excluded.well_at) ELSE job_turn.well_at
    END,
    done = job_turn.done + excluded.done,
    failures = CASE WHEN excluded.error IS NULL THEN 0 ELSE job_turn.failures + 1 END,
    error = excluded.error
