"""A project of pages on which a change that looks right is not: what advice must refuse, and what the trial must notice."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trees.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
