-- Keys that are rotated, browser sessions, and where the records of a transaction were published.

ALTER TABLE api_keys
    ADD COLUMN previous_sha256     bytea UNIQUE,      -- the secret before the last rotation
    ADD COLUMN previous_expires_at timestamptz,       -- until when it is accepted
    ADD COLUMN rotated_at          timestamptz,
    ADD COLUMN last_used_at        timestamptz;       -- to the minute

-- A browser's session stands for the secret it was opened with: what ends the secret ends the session.
CREATE TABLE api_sessions (
    session_sha256 bytea       PRIMARY KEY,
    secret_sha256  bytea       NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL
);
CREATE INDEX api_sessions_age ON api_sessions (expires_at);

-- A write token is the number of its transaction. While rows of it wait here, nothing of it can be read back.
ALTER TABLE outbox ADD COLUMN transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX outbox_transaction ON outbox (transaction_id);

-- Where the relay put them: the offset behind the last record of the transaction in each partition.
CREATE TABLE published (
    transaction_id xid8        NOT NULL,
    topic          text        NOT NULL,   -- logical name, without prefix
    partition      int         NOT NULL,
    next_offset    bigint      NOT NULL,
    published_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (transaction_id, topic, partition)
);
CREATE INDEX published_age ON published (published_at);
