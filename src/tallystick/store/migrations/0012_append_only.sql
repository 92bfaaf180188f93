-- What is only ever appended to is vacuumed when it has doubled, and frozen at once: its pages are written again once, not
-- at every fifth of its growth and a last time to freeze them.
ALTER TABLE usage_event SET (autovacuum_vacuum_insert_scale_factor = 1, autovacuum_freeze_min_age = 0);

ALTER TABLE event_key SET (autovacuum_vacuum_insert_scale_factor = 1, autovacuum_freeze_min_age = 0);

ALTER TABLE ledger_entry SET (autovacuum_vacuum_insert_scale_factor = 1, autovacuum_freeze_min_age = 0);
