"""Single steps: what a call, a page or a notebook's cell asks of the database, observed in the process where it runs.

`profile_queries` is the door; the magic `%%queries` shows the same record.
"""
