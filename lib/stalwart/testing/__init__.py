"""Faults for a user's own tests: the database really fails, and the test sees what the code makes of it.

    from stalwart.testing import kill_connection_at

    class Ordering(TransactionTestCase):
        def test_an_order_outlives_its_connection(self):
            with kill_connection_at("INSERT INTO"):
                place_order("ACME", 3)
            self.assertEqual(Order.objects.count(), 1)

Nothing is raised by hand. The server ends the session, the socket is shut, a second session takes the lock; what the
driver raises then is what it would raise in production, at any level of Django, and in whatever thread the code runs.
No proxy is needed and no superuser: the faults use what a plain role may do to its own sessions, in the database that the
test runner has made.

===============================  =====================================================================================
`kill_connection_at(statement)`  the session ends before a statement, or the reply to it is lost
`lose_commit_reply()`            COMMIT is done, or never arrives, and the driver cannot tell which
`fail_on_commit_hook()`          COMMIT is done, and a hook after it fails
`deadlock_with(first, then)`     40P01
`serialization_failure_on(rows)` 40001
`lock_timeout_on(rows)`          55P03; "database is locked" on SQLite
`demote()`                       25006: the sessions that are open can only read
`refuse_connections()`           the server is down, for a while or for some attempts
`blackhole()`                    connections are accepted and never answered
`recorded_events()`              what Stalwart did about it
===============================  =====================================================================================

Each fault is a context manager, to be entered once. **A fault that did not bite fails the test** (`FaultDidNotBite`, an
AssertionError): a test that has met no fault has shown nothing. `with ... as fault` gives `fault.bites`, and `fault.heal()`
ends it early. At the end of the block everything is as it was: Django's class, the settings of the sessions, our own sessions
and threads; and the connection of the current thread, if it was broken, is closed, so that the test can look at the database.
Whatever is changed belongs to a session or to this process, so nothing outlives a test run that is killed. An error that
leaves the block goes on as it is.

**The test must commit.** Django's TestCase and pytest-django's `db` run a test inside a transaction, where nothing is
committed and nothing is retried; a fault refuses to begin there. Use TransactionTestCase, or
`@pytest.mark.django_db(transaction=True)`.

**Only a test database is broken**: one whose name begins with "test_", or is the alias's TEST["NAME"]. For any other one it
takes its name, in `even_on=`. Sessions of other databases are never touched, so parallel test runs do not meet.

Beside the faults, two assertions on what the code asks of its databases, in all threads and on every alias; they break
nothing, and work on every database and inside of a test's own transaction:

===============================  =====================================================================================
`max_queries(3)`                 no more than so many statements; a failure lists them by call site
`assert_no_n_plus_one()`         none is sent once for each row; proven where a factory makes more of them
===============================  =====================================================================================

PostgreSQL with psycopg 3 is needed for the faults, `lock_timeout_on` works on SQLite, too. Connections of a pool can be killed, but not
refused. With pytest, `pytest_plugins = ["stalwart.testing.plugin"]` in the root conftest.py offers all of it as fixtures.
"""

from stalwart.testing.commits import fail_on_commit_hook, lose_commit_reply
from stalwart.testing.fault import Fault, FaultDidNotBite
from stalwart.testing.locks import deadlock_with, lock_timeout_on, serialization_failure_on
from stalwart.testing.max_queries import TooManyQueries, max_queries
from stalwart.testing.n_plus_one import NothingShown, NPlusOneFound, assert_no_n_plus_one
from stalwart.testing.outages import blackhole, refuse_connections
from stalwart.testing.recording import recorded_events
from stalwart.testing.roles import demote
from stalwart.testing.statements import kill_connection_at

__all__ = [
    "Fault",
    "FaultDidNotBite",
    "NPlusOneFound",
    "NothingShown",
    "TooManyQueries",
    "assert_no_n_plus_one",
    "blackhole",
    "deadlock_with",
    "demote",
    "fail_on_commit_hook",
    "kill_connection_at",
    "lock_timeout_on",
    "lose_commit_reply",
    "max_queries",
    "recorded_events",
    "refuse_connections",
    "serialization_failure_on",
]
