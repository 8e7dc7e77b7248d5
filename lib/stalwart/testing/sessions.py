"""Settings that the sessions of the code under test have while a fault lasts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from stalwart.testing.control import Control

_IDLE = 0  # libpq's status: in no transaction


class SessionSetting:
    """One setting of the server, set in some sessions and set back.

    Args:
        name: of the setting.
        value: as text.
    """

    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value
        self._changed: list[tuple[Any, str]] = []

    def put(self, driver: Any) -> None:
        """Set it in the session of a psycopg connection that is in no transaction."""
        row = driver.execute("SELECT current_setting(%s)", [self._name]).fetchone()
        self._changed.append((driver, str(row[0])))
        self._set(driver, self._value)

    def put_back(self, control: Control) -> None:
        """Set it back where the session is still there. What is in a transaction, or in use, cannot be: it is ended."""
        for driver, before in self._changed:
            if driver.closed:
                continue
            if driver.pgconn.transaction_status == _IDLE:
                with suppress(Exception):  # it was ended without the driver knowing of it
                    self._set(driver, before)
            else:
                control.end(driver.info.backend_pid)
        self._changed = []

    def _set(self, driver: Any, value: str) -> None:
        driver.execute("SELECT set_config(%s, %s, false)", [self._name, value])
        if not driver.autocommit:
            driver.commit()
