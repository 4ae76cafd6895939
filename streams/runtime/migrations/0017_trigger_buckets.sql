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
