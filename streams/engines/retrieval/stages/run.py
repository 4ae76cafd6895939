"""Runs the stages of a retriever in order (design section 4)."""


class Run:
    """What a stage may use while it runs."""
