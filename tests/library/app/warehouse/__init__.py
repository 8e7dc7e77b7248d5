"""The Django app of the library's tests."""
