"""Retrievers over stored documents, for the stations that run them: the pure engine on tables of the database."""
