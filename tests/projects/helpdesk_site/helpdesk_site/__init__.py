from helpdesk_site.celery import application

__all__ = ["application"]
