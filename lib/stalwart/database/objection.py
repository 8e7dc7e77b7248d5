"""What the database part knows against repeating a call that `resilient_operation` made, read from its error alone.

`database_retry` watches what a call writes. Here nothing was watched, so this objects where the error itself says that a
repeat could write a second time, or cannot succeed.
"""

from __future__ import annotations

from stalwart.database.classification import Classification, ErrorClass, chain, failures
from stalwart.database.origin import Site, came_out_of_a_hook, statement_of
from stalwart.database.settling import NOT_COMMITTED
from stalwart.database.watch import reads_only
from stalwart.policies.registry import NotHere


def object_to(error: Exception) -> str | None:
    """The reason why a call that ended in `error` must not be made again; None when there is none.

    Args:
        error: of the call. What is no database error is not judged.
    """
    if any(came_out_of_a_hook(link) for link in chain(error)):
        return "an on_commit hook failed, and what comes before it is committed"
    for each in failures(error):
        if NOT_COMMITTED in each.error.__dict__:
            continue
        connection = each.origin.connection
        if connection is not None and connection.in_atomic_block and each.origin.site is Site.STATEMENT:
            # What was done in there is undone with it, also where the connection was lost.
            return NotHere("it was called inside a transaction, which an error ends as a whole")
        if each.error_class is ErrorClass.AMBIGUOUS or (
            each.connection_lost and not each.unsent and _may_be_done(each)
        ):
            return (
                "the connection was lost during COMMIT or a write, which is done or not; use database_retry"
            )
        if connection is not None and connection.in_atomic_block:
            return NotHere("it was called inside a transaction, which an error ends as a whole")
    return None


def _may_be_done(failure: Classification) -> bool:
    if failure.origin.site in (Site.COMMIT, Site.LEAVING):
        return True
    # Whether the write stood in a transaction cannot be seen any more.
    statement = statement_of(failure.error)
    return statement is not None and not reads_only(statement)
