"""Servers that the workbench starts for itself, and only those may be harmed: PostgreSQL, the fault proxy, web servers."""
