"""What parts offer to each other."""

from __future__ import annotations

import pytest

from stalwart.exceptions import ConfigurationError
from stalwart.policies import registry
from stalwart.policies.registry import Registry


def test_offered_found_and_taken_away() -> None:
    """A part registers by name, others find it, the undo takes it away, twice without harm."""
    things: Registry[int] = Registry("number")
    undo = things.register("one", 1)
    assert (things.get("one"), things.find("one"), things.names()) == (1, 1, ["one"])
    undo()
    undo()
    assert things.find("one") is None


def test_a_missing_name_names_the_nearest() -> None:
    """A typo is answered with what there is."""
    things: Registry[int] = Registry("recovery strategy")
    with pytest.raises(ConfigurationError, match="there are none"):
        things.get("database")
    things.register("database", 1)
    with pytest.raises(ConfigurationError, match="did you mean 'database'"):
        things.get("databse")


def test_a_taken_name() -> None:
    """It is refused unless replacing is meant; the undo of that puts the first one back, and only that."""
    things: Registry[str] = Registry("gauge")
    undo_first = things.register("cpu", "first")
    with pytest.raises(ConfigurationError, match="replace=True"):
        things.register("cpu", "second")
    undo_second = things.register("cpu", "second", replace=True)
    undo_first()
    assert things.get("cpu") == "second"
    undo_second()
    assert things.get("cpu") == "first"


@pytest.mark.parametrize("name", ["", None])
def test_names_are_texts(name) -> None:
    """Something else is refused."""
    with pytest.raises(ConfigurationError, match="use a text"):
        Registry("gauge").register(name, 1)


def test_the_three_registries() -> None:
    """Recovery strategies, remedies and gauges each have their own names."""
    with pytest.raises(ConfigurationError, match="recovery strategy"):
        registry.recoveries.get("nothing of this name")
    undo = registry.gauges.register("test", lambda: 0.5)
    assert registry.gauges.get("test")() == 0.5
    assert registry.remedies.find("test") is None
    undo()
