"""What rules raise when a definition cannot work."""


class ScheduleError(ValueError):
    """A trigger's configuration that cannot work. The message names the field and says what it should be."""
