-- Deleted collections among deletions: their rows are deleted step by step.
CREATE INDEX erased_collections ON erased_documents (erased_at) WHERE document_id = '';

-- An upsert that is answered once more names the write of the first.
ALTER TABLE idempotent_upserts ADD COLUMN write_token text;
