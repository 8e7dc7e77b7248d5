"""The frozen payload mix."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.demo.stocks.payloads import FILE, SIZE, frozen_mix, paths

if TYPE_CHECKING:
    Demo = Any


def test_the_responses_are_still_the_frozen_ones(empty: Demo) -> None:
    """Every body of the mix, fetched from PostgreSQL without compression, has the hash that was frozen."""
    empty.manage("migrate", "--verbosity=0")
    ended = empty.run("payload_mix")
    assert ended.returncode == 0, ended.stderr  # says what differs, and why the mix is frozen
    assert frozen_mix().sha256 in ended.stdout


def test_no_get_route_is_left_out(demo: Demo) -> None:
    """Leaving out what compresses badly would be tuning, so every route but the POST is in the mix."""
    routes = demo.script(
        "from workbench.demo.stocks.urls import urlpatterns\nresult = [one.name for one in urlpatterns]"
    )
    assert {payload.route for payload in frozen_mix().payloads} == set(routes) - {"orders"}


def test_the_file_is_whole() -> None:
    """The file's own hash, size and paths agree with the code."""
    mix = frozen_mix()
    assert json.loads(FILE.read_text())["sha256"] == mix.sha256
    assert mix.size == SIZE
    assert tuple(payload.path for payload in mix.payloads) == paths()
    assert mix.as_json() == FILE.read_text()


def test_a_change_is_named() -> None:
    """One altered byte, a missing and an additional path, and another size each give a line."""
    mix = frozen_mix()
    first, second, *rest = mix.payloads
    altered = replace(
        mix,
        size=replace(SIZE, seed=1),
        payloads=(replace(first, sha256="0" * 64), *rest, replace(second, path="/new/")),
    )
    lines = mix.differences(altered)
    assert [line.split(" ")[0].rstrip(":") for line in lines] == ["made", second.path, "/new/", first.path]
    assert mix.differences(mix) == []
