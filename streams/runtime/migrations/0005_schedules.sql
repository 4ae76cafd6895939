-- Schedules kept as Temporal keeps them: overlap, catch-up and jitter (docs/decisions/013).

ALTER TABLE trigger_state
    ADD COLUMN next_due_at timestamptz,  -- next_scheduled_at and its jitter; NULL: no jitter
    ADD COLUMN buffered_at timestamptz,  -- a nominal time that waits for the open run to end
    ADD COLUMN skipping    jsonb,        -- the stretch of skipped nominal times that may still grow
    ADD COLUMN anchor_at   timestamptz,  -- a nominal time of the schedule as it was last started
    ADD COLUMN decided_at  timestamptz;  -- the clock of whoever decided next_scheduled_at

DROP INDEX trigger_state_due;
CREATE INDEX trigger_state_due ON trigger_state (coalesce(next_due_at, next_scheduled_at))
    WHERE status = 'active' AND trigger_type IN ('cron', 'interval');
CREATE INDEX trigger_state_buffered ON trigger_state (trigger_id)
    WHERE status = 'active' AND buffered_at IS NOT NULL;
-- Conditions are looked for at every tick; among many schedules they must not be searched for.
CREATE INDEX trigger_state_conditional ON trigger_state (trigger_id)
    WHERE status = 'active' AND trigger_type = 'conditional';
CREATE INDEX jobs_open_of_trigger ON jobs (trigger_id) WHERE status IN ('pending', 'processing');

-- Executions of alerts that event triggers have counted: one that match tells twice counts once.
CREATE TABLE alert_events (
    execution_id text PRIMARY KEY,
    counted_at   timestamptz NOT NULL
);
CREATE INDEX alert_events_age ON alert_events (counted_at);
CREATE INDEX definitions_watching_alerts ON definitions (namespace_id)
    WHERE deleted_at IS NULL AND kind IN ('trigger', 'cluster_trigger')
    AND body->'schedule_config'->>'event_type' = 'alert_triggered';
