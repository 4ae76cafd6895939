-- Writes of documents over HTTP that collect has not stored yet: each document as it will be. Reads look here
-- first; collect deletes a row with the write it stands for. Also what the next write of that document begins with.
CREATE SEQUENCE document_writes_seq;
CREATE TABLE document_writes (
    namespace_id  text        NOT NULL,
    collection_id text        NOT NULL,
    document_id   text        NOT NULL,
    seq           bigint      NOT NULL,
    deleted       boolean     NOT NULL,
    payload       jsonb,
    text          text,
    asset_id      text,
    occurred_at   timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    written_at    timestamptz NOT NULL,
    features      bytea       NOT NULL,      -- JSON: feature -> vector as it travels
    PRIMARY KEY (namespace_id, collection_id, document_id)
);

-- Lists are newest first. Their order is that of creation, which a document keeps as long as it is there.
CREATE INDEX documents_newest ON documents (namespace_id, collection_id, created_at, document_id);

-- Documents and (document_id empty) whole collections that were deleted: what results of before still say of them
-- is not shown, and is taken out of the tables by and by.
CREATE TABLE erased_documents (
    namespace_id  text        NOT NULL,
    document_id   text        NOT NULL,
    collection_id text        NOT NULL,
    erased_at     timestamptz NOT NULL,      -- append time of the deletion
    partition     int,                       -- its place in the log; NULL for a collection
    record_offset bigint,
    swept         boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (namespace_id, document_id, collection_id)
);
CREATE INDEX erased_documents_age ON erased_documents (erased_at);

-- Answers of upserts by the caller's key.
CREATE TABLE idempotent_upserts (
    namespace_id    text        NOT NULL,
    idempotency_key text        NOT NULL,
    body_sha256     bytea       NOT NULL,
    answer          json        NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (namespace_id, idempotency_key)
);
CREATE INDEX idempotent_upserts_age ON idempotent_upserts (created_at);
