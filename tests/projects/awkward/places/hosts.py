def by_host(get_response):
    """A host of its own for the API, told by the header alone."""

    def handle(request):
        if request.META["HTTP_HOST"] == "api.localhost":
            request.urlconf = "awkward.api_urls"
        return get_response(request)

    return handle
