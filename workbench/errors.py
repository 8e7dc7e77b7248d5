"""The one error that a user of the workbench meets: a clear sentence and the next step."""

from __future__ import annotations

#: The next step where a package of the extra is missing.
INSTALL = (
    'run `make venv` in the checkout, or there: python -m pip install -c constraints.txt -e ".[workbench]"'
)


class WorkbenchError(Exception):
    """Something that the user can mend; the command line prints it without a traceback.

    Args:
        problem: one sentence that carries the value seen.
        next_step: what to do about it.
        exit_code: the process's exit code, 2 unless the command documents another.
    """

    def __init__(self, problem: str, next_step: str, *, exit_code: int = 2) -> None:
        super().__init__(problem, next_step)
        self.problem = problem
        self.next_step = next_step
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.problem}\n  next: {self.next_step}"


def was_interrupted(error: BaseException | None) -> bool:
    """Whether a Ctrl-C stands behind an error: what a clean-up raises after it hides it, but the user asked to stop."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False
