"""What runs inside the project's own process: a guest, so the standard library, Django and stalwart only.

The workbench stays outside and talks JSON with it (`workbench.project_process`). `settings` is the settings module under
which every arm runs: the project's own, with the arm's overlay on top, so that no project is ever edited.
"""
