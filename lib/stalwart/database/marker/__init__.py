"""The commit marker: a row that a transaction writes with its COMMIT, and that tells for certain whether it was committed.

An app of its own, so that nobody gets its table unasked: `"stalwart.database.marker"` in INSTALLED_APPS, `manage.py migrate`,
and `STALWART["DATABASE"]["COMMIT_MARKER"] = True`.
"""
