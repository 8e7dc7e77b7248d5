"""django-oscar on a site of its own, as its documentation puts one together; Django 4.2."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "oscar_site.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
