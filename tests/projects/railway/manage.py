"""A project with every kind of relation: what the capture must name, and what it must not."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trips.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
