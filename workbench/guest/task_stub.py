"""What stands in for the task backends of Django 6.0 and newer."""

from __future__ import annotations

from typing import Any

from django.tasks.backends.dummy import DummyBackend

from workbench.guest import sandbox


class TaskBackend(DummyBackend):
    """Takes tasks and runs none."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        sandbox.note("task")
        sandbox.note(f"task {task.module_path}")
        return super().enqueue(task, args, kwargs)
