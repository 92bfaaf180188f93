-- What each workflow used a day: a report by workflow reads these few rows, however many kinds of usage a day has.

-- tenant: a total of rollup_daily's rows by what most reports ask; workflow_id is the nil UUID where there is none, status
-- is empty but for executions, which are counted by it. Written with them, and as rebuildable
CREATE TABLE rollup_workflow (
    workspace_id uuid NOT NULL,
    day date NOT NULL,
    workflow_id uuid NOT NULL,
    events bigint NOT NULL,
    credits bigint NOT NULL,
    quantity numeric NOT NULL,
    type text NOT NULL,
    slug text NOT NULL,
    status text NOT NULL,
    PRIMARY KEY (workspace_id, day, workflow_id, slug, type, status)
) PARTITION BY HASH (workspace_id);

CREATE TABLE rollup_workflow_00 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 0) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_01 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 1) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_02 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 2) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_03 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 3) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_04 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 4) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_05 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 5) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_06 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 6) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_07 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 7) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_08 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 8) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_09 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 9) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_10 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 10) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_11 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 11) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_12 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 12) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_13 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 13) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_14 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 14) WITH (fillfactor = 75);

CREATE TABLE rollup_workflow_15 PARTITION OF rollup_workflow
    FOR VALUES WITH (MODULUS 16, REMAINDER 15) WITH (fillfactor = 75);

INSERT INTO rollup_workflow (workspace_id, day, workflow_id, events, credits, quantity, type, slug, status)
SELECT workspace_id, day, coalesce(workflow_id, '00000000-0000-0000-0000-000000000000'), sum(events), sum(credits),
    sum(quantity), type, slug,
    CASE type WHEN 'orchestration.execution' THEN coalesce(status, 'success') ELSE '' END
FROM rollup_daily
GROUP BY workspace_id, day, coalesce(workflow_id, '00000000-0000-0000-0000-000000000000'), type, slug,
    CASE type WHEN 'orchestration.execution' THEN coalesce(status, 'success') ELSE '' END;
