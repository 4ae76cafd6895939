"""Filters as SQL conditions over the table ``documents``: see :mod:`streams.retrieval.sql.filters`."""
