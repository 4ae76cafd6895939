-- Buckets of a window that slides as its trigger has merged them, out of one row of drift_sketches per partition and
-- collection (docs/decisions/030). Valid while version is that of these rows. A copy: losing it costs a little time.
CREATE TABLE trigger_buckets (
    trigger_id    text        NOT NULL REFERENCES trigger_state ON DELETE CASCADE,
    width_seconds int         NOT NULL,
    bucket_start  timestamptz NOT NULL,
    version       bigint      NOT NULL,
    sketch        bytea       NOT NULL,
    PRIMARY KEY (trigger_id, width_seconds, bucket_start)
);

-- Counts in the narrowest integers hardly compress, and trying costs more than writing them does.
ALTER TABLE drift_sketches ALTER COLUMN sketch SET STORAGE EXTERNAL;
ALTER TABLE trigger_buckets ALTER COLUMN sketch SET STORAGE EXTERNAL;
ALTER TABLE trigger_state
    ALTER COLUMN baseline_sketch SET STORAGE EXTERNAL,
    ALTER COLUMN window_sketch SET STORAGE EXTERNAL;
