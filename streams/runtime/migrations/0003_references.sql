-- Look-up alerts: which collections are fed into the references topic, and how far.

-- `state`: seeding (stored documents are being put out), following (all of them are out, writes follow), draining
-- (nobody names the collection any more: its documents are being taken back). A walk goes by document_id.
CREATE TABLE reference_feeds (
    namespace_id  text        NOT NULL,
    collection_id text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('seeding', 'following', 'draining')),
    walked_to     text        NOT NULL DEFAULT '',
    walked        boolean     NOT NULL DEFAULT false,
    last_row      bigint,                -- outbox row that ends the last step: the next waits until it is out
    kept_until    timestamptz NOT NULL,  -- not drained before: somebody is about to name the collection
    PRIMARY KEY (namespace_id, collection_id)
);

-- What a look-up found. Null where the document itself is the one match.
ALTER TABLE alert_executions
    ADD COLUMN match_count        int,
    ADD COLUMN matches            json,
    ADD COLUMN reference_position json;
