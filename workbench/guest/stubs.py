"""What stands in for the servers of a project: mail, caches, file storage."""

from __future__ import annotations

import fnmatch
import os
import threading
from typing import Any

from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from django.core.files.storage import FileSystemStorage
from django.core.mail.backends.base import BaseEmailBackend

from workbench.guest import sandbox


def never(request: Any) -> bool:
    """The debug toolbar's question whether to show itself."""
    return False


class EmailBackend(BaseEmailBackend):
    """Says that it sent, and sends nothing."""

    def send_messages(self, email_messages: Any) -> int:
        messages = list(email_messages or ())
        for message in messages:
            message.message()  # what is wrong with a message is raised as it would be
        sandbox.note("mail", len(messages))
        return len(messages)


class Cache(LocMemCache):
    """A cache in this process, in the place of one on a server; with the methods that django-redis adds."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        options = dict(params.get("OPTIONS") or {})
        self._label = options.pop("name", "cache")
        super().__init__(name, {**params, "OPTIONS": options})

    def get(self, key: Any, default: Any = None, version: Any = None, **_: Any) -> Any:
        sandbox.note(self._label)
        return super().get(key, default, version)

    def set(self, key: Any, value: Any, timeout: Any = -1, version: Any = None, **options: Any) -> Any:
        sandbox.note(self._label)
        timeout = self.default_timeout if timeout == -1 else timeout
        if options.get("nx"):
            return super().add(key, value, timeout, version)
        super().set(key, value, timeout, version)
        return True

    def keys(self, search: str = "*", version: Any = None, **_: Any) -> list[str]:
        prefix = self.make_key("", version)
        found = [key[len(prefix) :] for key in list(vars(self)["_cache"]) if key.startswith(prefix)]
        return [key for key in found if fnmatch.fnmatchcase(key, search) and self.has_key(key, version)]

    def iter_keys(self, search: str = "*", **options: Any) -> Any:
        return iter(self.keys(search, **options))

    def delete_pattern(self, pattern: str, version: Any = None, **_: Any) -> int:
        return sum(bool(self.delete(key, version)) for key in self.keys(pattern, version))

    def ttl(self, key: Any, version: Any = None) -> Any:
        return None if self.has_key(key, version) else 0

    def expire(self, key: Any, timeout: Any, version: Any = None) -> bool:
        return bool(self.touch(key, timeout, version))

    def persist(self, key: Any, version: Any = None) -> bool:
        return bool(self.touch(key, None, version))

    def lock(self, *args: Any, **options: Any) -> Any:
        return threading.RLock()


class PrivateStorage(FileSystemStorage):
    """Writes below a private folder; what lies in the project's own media can be read, and stays as it is."""

    def _own(self, name: str) -> str | None:
        root = getattr(settings, "WORKBENCH_OWN_MEDIA_ROOT", "")
        if not root or not name:
            return None
        path = os.path.realpath(os.path.join(root, name))
        return path if path.startswith(os.path.realpath(root) + os.sep) and os.path.exists(path) else None

    def path(self, name: str) -> str:
        private = str(super().path(name))
        return private if os.path.exists(private) else self._own(name) or private

    def exists(self, name: str) -> bool:
        return os.path.exists(super().path(name)) or self._own(name) is not None

    def _save(self, name: str, content: Any) -> str:
        sandbox.note("file written")
        # The plain class asks `path` where to write: a name that exists in the project's media must not lead there.
        plain: Any = FileSystemStorage(location=self.location, base_url=self.base_url)
        return str(plain._save(name, content))

    def delete(self, name: str) -> None:
        if os.path.exists(super().path(name)):
            super().delete(name)
