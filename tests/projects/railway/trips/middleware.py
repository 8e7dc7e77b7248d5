from trips.models import Carrier


def always(request):
    return True


class Outermost:
    """Stands on the stack of every statement, and made none."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


class Counting(Outermost):
    def __call__(self, request):
        if request.headers.get("X-Count"):
            Carrier.objects.count()
        return self.get_response(request)
