-- Events for the organisation's webhooks, from the transaction they happened in until notify has made deliveries
-- of them. A row is only written when some webhook wants its type.
CREATE TABLE webhook_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     text        NOT NULL,
    event_type   text        NOT NULL,
    namespace_id text        NOT NULL,
    subject_id   text        NOT NULL,
    metadata     bytea       NOT NULL,   -- JSON; jsonb cannot hold every text
    occurred_at  timestamptz NOT NULL
);

-- How a webhook's deliveries fare. Webhooks belong to no namespace.
CREATE INDEX deliveries_of_webhook ON deliveries (alert_id, updated_at) WHERE namespace_id = '';
