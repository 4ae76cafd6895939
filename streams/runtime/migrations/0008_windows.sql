-- Alerts that are decided over a window, and what sweeps and windows tell (docs/decisions/016).

-- How far each alert has been decided on each collection it is attached to. Instants are seconds since 1970 in the
-- alert's time domain.
CREATE TABLE alert_windows (
    namespace_id  text        NOT NULL,
    alert_id      text        NOT NULL,
    collection_id text        NOT NULL,
    series        text        NOT NULL,    -- what is counted together: another question, another series
    through       bigint,                  -- decided up to here
    next_at       bigint,                  -- when something changes if nothing more comes
    holds         boolean     NOT NULL DEFAULT false,
    told          boolean     NOT NULL DEFAULT false,
    last_fired    bigint,
    reminders     int         NOT NULL DEFAULT 0,
    appended_at   timestamptz,             -- of its last execution: the next comes after it
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (namespace_id, alert_id, collection_id)
);

-- What came, per source partition and step, so that no two workers share a row.
CREATE TABLE alert_window_buckets (
    namespace_id  text    NOT NULL,
    alert_id      text    NOT NULL,
    collection_id text    NOT NULL,
    series        text    NOT NULL,
    bucket_start  bigint  NOT NULL,
    partition     int     NOT NULL,
    documents     bigint  NOT NULL,
    number_count  bigint  NOT NULL,
    total         numeric NOT NULL,
    least         numeric,
    greatest      numeric,
    newest        jsonb   NOT NULL,        -- the last documents, by name
    causes        text[]  NOT NULL,        -- the longest chain of causes of a document's write
    PRIMARY KEY (namespace_id, alert_id, collection_id, series, bucket_start, partition)
);

-- The earliest document that was checked: silence is only silence after it.
CREATE TABLE alert_window_begun (
    namespace_id  text   NOT NULL,
    alert_id      text   NOT NULL,
    collection_id text   NOT NULL,
    series        text   NOT NULL,
    partition     int    NOT NULL,
    since         bigint NOT NULL,
    PRIMARY KEY (namespace_id, alert_id, collection_id, series, partition)
);

-- Up to which record of `documents` contributions have been added up: match may tell them again after a crash.
CREATE TABLE alert_window_positions (
    namespace_id     text   NOT NULL,
    collection_id    text   NOT NULL,
    source_partition int    NOT NULL,
    next_offset      bigint NOT NULL,
    PRIMARY KEY (namespace_id, collection_id, source_partition)
);

-- Documents with an event id that have been added up: their producer may send them again.
CREATE TABLE alert_window_events (
    base    bytea       PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
CREATE INDEX alert_window_events_age ON alert_window_events (seen_at);

-- What is remembered of an alert that is swept, between sweeps.
CREATE TABLE alert_sweeps (
    namespace_id  text        NOT NULL,
    alert_id      text        NOT NULL,
    told          boolean     NOT NULL,
    last_fired_at timestamptz,
    swept_at      timestamptz NOT NULL,    -- the instant the newest sweep was for
    PRIMARY KEY (namespace_id, alert_id)
);

-- The trigger station looks for these at every change of the definitions.
CREATE INDEX definitions_windowed ON definitions (namespace_id, id)
    WHERE kind = 'alert' AND deleted_at IS NULL AND body ->> 'window_seconds' IS NOT NULL;
CREATE INDEX definitions_scheduled ON definitions (namespace_id, id)
    WHERE kind = 'collection' AND deleted_at IS NULL
    AND body -> 'alert_applications' @> '[{"execution_mode": "scheduled"}]';

-- A sweep whose condition did not hold is recorded as well; `held` says why nobody was told of one that fired.
ALTER TABLE alert_executions ADD COLUMN triggered boolean NOT NULL DEFAULT true;
