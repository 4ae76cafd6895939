"""What every codec raises when bytes are not the record they should be."""


class DecodeError(ValueError):
    """The bytes are not a valid record. Never transient: the same bytes fail again, so they go to
    ``dead-letters``. The message names the field and what was expected, never the whole record."""
