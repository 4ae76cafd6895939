"""What is wrong with a definition, in words a user can act on."""

from collections.abc import Sequence


class FilterError(ValueError):
    """A filter that cannot be read. ``place`` is where, as a path from the filter's root; the message says
    what was found there and what is accepted."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class PlanError(ValueError):
    """A retriever or alert that cannot be checked against one arriving document. The message is for users."""


class ContradictionError(PlanError):
    """Parts of a definition that are each as they may be, and do not go together."""


class RefusedError(PlanError):
    """A part of a retriever that no execution could run. ``where`` is its place in the retriever's body;
    ``hosted`` says that it needs what only other servers have, ``contradicts`` that another part of the retriever
    speaks against it."""

    def __init__(
        self, message: str, where: Sequence[str | int], *, hosted: bool = False, contradicts: bool = False
    ) -> None:
        super().__init__(message)
        self.where = tuple(where)
        self.hosted = hosted
        self.contradicts = contradicts


class StageError(ValueError):
    """A stage that cannot do its work on the rows it was given. The message is for users and names no document's
    contents."""


class BudgetError(StageError):
    """An execution that has used up its time or credits. The message is the one users see."""


class InputError(ValueError):
    """Inputs that do not fit a retriever's ``input_schema``. ``problems`` are the path of each wrong input and
    what is wrong with it; the message tells all of them."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"input {name}: {problem}" for name, problem in problems))
        self.problems = tuple(problems)
