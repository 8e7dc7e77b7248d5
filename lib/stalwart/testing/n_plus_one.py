"""`assert_no_n_plus_one`: the number of statements does not follow the number of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import overload

from stalwart.exceptions import ConfigurationError
from stalwart.testing.asked import Asked, Recording
from stalwart.testing.groups import Group, cures, grouped, listing

#: Further runs for each further row from which on a statement follows the rows; a prefetch in chunks has one for each chunk.
STEEP = 0.5
_Key = tuple[str, str]


class NPlusOneFound(AssertionError):
    """Statements follow the rows, or seem to; the message says which, and whether it is proven."""


class NothingShown(AssertionError):
    """No N+1 was seen, and none could have been: the test has shown nothing."""


class _OneRun(Recording):
    """What one run can show.

    Attributes:
        unproven: statements that ran more than once, and too seldom to be told from an innocent repetition.
    """

    def __init__(self, repeats: int, allow: Sequence[str], using: str | Iterable[str] | None) -> None:
        super().__init__(using)
        self.unproven: tuple[Group, ...] = ()
        self._repeats = repeats
        self._allow = allow

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        super().__exit__(kind, error, trace)
        if error is None:
            self._judge()

    def _judge(self) -> None:
        __tracebackhide__ = True
        repeated = [group for group in grouped(self.statements) if _is_loop(group)]
        found = _without(self._allow, [group for group in repeated if group.runs >= self._repeats])
        self.unproven = tuple(group for group in repeated if group.runs < self._repeats)
        if found:
            raise NPlusOneFound(
                f"statements run again and again with other values:\n{listing(found)}{cures(found)}\n"
                "Not proven: one run cannot tell whether they follow the rows or a list of fixed length. To have it proven, "
                "give what runs and what makes rows: assert_no_n_plus_one(call, factory=make)"
            )
        if not self.statements:
            raise NothingShown(
                "no statement was sent, so nothing is shown of it; max_queries(0) asserts just that"
            )
        rows = [one.rows for one in self.statements if one.reads]
        if min(rows, default=0) >= 0 and max(rows, default=0) < self._repeats:
            raise NothingShown(
                f"no statement returned more than {max(rows, default=0)} rows, so a loop over its rows would not have been "
                f"seen: let there be {self._repeats} or more before, or give a factory="
            )


@overload
def assert_no_n_plus_one(
    *, repeats: int = 3, allow: Iterable[str] = (), using: str | Iterable[str] | None = None
) -> _OneRun: ...
@overload
def assert_no_n_plus_one(
    call: Callable[[], object],
    *,
    factory: Callable[[int], object],
    sizes: tuple[int, int] = (3, 6),
    allow: Iterable[str] = (),
    using: str | Iterable[str] | None = None,
) -> None: ...


def assert_no_n_plus_one(
    call: Callable[[], object] | None = None,
    *,
    factory: Callable[[int], object] | None = None,
    sizes: tuple[int, int] = (3, 6),
    repeats: int = 3,
    allow: Iterable[str] = (),
    using: str | Iterable[str] | None = None,
) -> _OneRun | None:
    """No statement is sent once for each row, in whatever thread and to whichever database.

    **Proven**, with a factory:

        assert_no_n_plus_one(lambda: client.get("/orders/"), factory=OrderFactory.create_batch)

    The factory is called with each of the sizes and makes that many rows (or lets there be that many); after each, the
    call runs twice, and the second time counts, for the first one may fill caches. Runs of each statement are compared:
    one that has a further run for every second further row, or more, follows the rows, whatever it is for. Pages show no
    more rows than fit: use sizes that fit on one.

    **Seen**, around a block that runs once:

        with assert_no_n_plus_one():
            client.get("/orders/")

    A reading statement that is sent from one place several times, each time with other values, fails; batches of Django's
    (prefetches, bulk operations, deletions) and pages of one result do not. That proves nothing, as the message says.
    Repetitions that are too few to tell are in `unproven`: `with ... as seen`.

    A test that could not have found anything fails as well: nothing was sent, or the rows that came back were too few, or
    not more with a larger size.

    Args:
        call: what is to be tested; it runs four times.
        factory: makes rows, given how many.
        sizes: two numbers, the second one larger.
        repeats: runs from which on a block fails.
        allow: parts of a place ("views.board:42"), relation ("shop.Order.customer") or statement that may repeat. One that
            excuses nothing fails: it has outlived its reason.
        using: alias or aliases; all of them by default.

    Raises:
        NPlusOneFound: statements follow the rows, or (in a block) seem to.
        NothingShown: see above; also for an `allow` that excuses nothing.
        ConfigurationError: arguments that do not fit.
    """
    __tracebackhide__ = True
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    if call is None and factory is None:
        if repeats < 2:
            raise ConfigurationError(
                f"assert_no_n_plus_one: repeats is {repeats}; a repetition has two runs or more"
            )
        return _OneRun(repeats, allowed, using)
    if call is None or factory is None:
        raise ConfigurationError(
            "assert_no_n_plus_one: a proof needs what runs and what makes rows, "
            "assert_no_n_plus_one(call, factory=make); without either, use it as `with assert_no_n_plus_one():`"
        )
    few, many = sizes
    if not 0 < few < many:
        raise ConfigurationError(f"assert_no_n_plus_one: sizes is {sizes!r}; the second one must be larger")
    _prove(call, factory, (few, many), allowed, using)
    return None


def _prove(
    call: Callable[[], object],
    factory: Callable[[int], object],
    sizes: tuple[int, int],
    allow: Sequence[str],
    using: str | Iterable[str] | None,
) -> None:
    __tracebackhide__ = True
    seen = []
    for size in sizes:
        factory(size)
        seen.append((_run(call, using), _run(call, using)))
    # Where the second run asks nothing at all, the answer was kept: then only the first one can show it.
    kept = not any(warm for _, warm in seen)
    few, many = (cold if kept else warm for cold, warm in seen)
    if not few and not many:
        raise NothingShown(
            "no statement was sent, so nothing is shown of it: does the call do what it should?"
        )
    before, after = _counts(few), _counts(many)
    further = sizes[1] - sizes[0]
    grown = {key for key in after if after[key] - before[key] >= STEEP * further}
    found = _without(allow, [group for group in grouped(many) if _key(group.first) in grown])
    if found:
        lines = [
            line
            for group in found
            for line in group.lines(f"{before[_key(group.first)]} -> {after[_key(group.first)]}")
        ]
        text = "\n".join(lines)
        raise NPlusOneFound(
            f"statements follow the rows; runs of each with {sizes[0]} rows and with {further} or more further ones:\n"
            f"{text}{cures(found)}"
        )
    if not grown and not _more_rows(few, many):
        raise NothingShown(
            f"with more rows, no statement returned more, so nothing is shown: factory({sizes[1]}) made none that the call "
            "reads, or its page was full before (then take smaller sizes)"
        )


def _run(call: Callable[[], object], using: str | Iterable[str] | None) -> list[Asked]:
    with Recording(using) as recording:
        call()
    return recording.statements


def _is_loop(group: Group) -> bool:
    return (
        group.runs > 1
        and group.values > 1
        and group.first.reads
        and not group.place.batch
        and not _is_paging(group)
    )


def _is_paging(group: Group) -> bool:
    """One result, read piece by piece: all but the last are as long as they may be."""
    pieces = [one.piece for one in group.statements]
    rows = [one.rows for one in group.statements]
    return min(pieces) > 1 and rows[:-1] == pieces[:-1] and 0 <= rows[-1] <= pieces[-1]


def _without(allow: Sequence[str], found: list[Group]) -> list[Group]:
    """Those that nothing excuses.

    Raises:
        NothingShown: an excuse was not needed.
    """
    __tracebackhide__ = True
    told = {id(group): (group.place.where, group.place.relation, group.first.sql) for group in found}
    for one in allow:
        if not any(one in text for texts in told.values() for text in texts):
            raise NothingShown(
                f"allow={one!r} excuses nothing: no such statement repeats any more; take it out"
            )
    return [group for group in found if not any(one in text for one in allow for text in told[id(group)])]


def _key(one: Asked) -> _Key:
    return one.alias, one.fingerprint


def _counts(statements: Sequence[Asked]) -> Counter[_Key]:
    return Counter(map(_key, statements))


def _more_rows(few: Sequence[Asked], many: Sequence[Asked]) -> bool:
    """Whether some statement returned more rows; when it is not known of one, it may have."""
    if any(one.rows < 0 for one in (*few, *many) if one.reads):
        return True
    rows = [Counter[_Key](), Counter[_Key]()]
    for counter, statements in zip(rows, (few, many), strict=True):
        for one in statements:
            counter[_key(one)] += one.rows
    return any(rows[1][key] > rows[0][key] for key in rows[1])
