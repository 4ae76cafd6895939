"""How an action can end badly, and what that means for its job."""


class ActionError(Exception):
    """The action cannot give a result, now or on another attempt: the job fails with these words."""


class ChildDiedError(Exception):
    """The process running the action ended without an answer. Another attempt may do better, so the job goes
    back until its attempts are used up."""


class LeaseLostError(Exception):
    """Another worker took the job over: what this one did must not be written."""
