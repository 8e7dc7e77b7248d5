from celery import Celery

application = Celery("helpdesk_site")
application.config_from_object("django.conf:settings", namespace="CELERY")
application.autodiscover_tasks()
