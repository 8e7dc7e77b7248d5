"""A project that does what real ones do, and that breaks tools which expect a tutorial."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "awkward.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
