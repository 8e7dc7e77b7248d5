"""What is done about BREACH, the attack that reads a secret from the sizes of compressed responses.

The attacker makes a victim's browser send many requests, each with another guess in it, and watches how long the answers
are: a page that holds both the guess and a secret gets shorter when they are alike. Two measures:

* Structural: a response is not coded when it holds a secret (it sets a cookie, or a CSRF token was made for it) and
  repeats a value of the query string. Then there is nothing to measure.
* Statistical: every coded response carries a header `X-Padding` of random length. It covers all codings alike and leaves
  the body's bytes the same from request to request. It makes guessing slower by orders of magnitude, not impossible.

Not covered in this version: secrets in the body that neither are CSRF tokens nor come with a cookie (Django masks its own
token anew for every response), input that is repeated from the path, from a form or from the database, and streamed bodies.
Leave such a page out with `Cache-Control: no-transform`.
"""

from __future__ import annotations

import secrets

from django.http import HttpRequest, HttpResponse

HEADER = "X-Padding"
_SHORTEST = 3  # characters; shorter values are found in any page, and make no useful guess
_MOST_VALUES = 50


def padding(most: int) -> str:
    """1 to `most` random characters that header compression cannot shorten; "" for 0."""
    return secrets.token_urlsafe(most)[: 1 + secrets.randbelow(most)] if most else ""


def leaks(request: HttpRequest, response: HttpResponse) -> bool:
    """Whether the length of the coded response could tell a guess in the query string from a secret in it."""
    if not request.META.get("QUERY_STRING") or not _holds_secret(request, response):
        return False
    content = response.content.lower()
    charset = response.charset or "utf-8"
    values = [value for _, values in request.GET.lists() for value in values if len(value) >= _SHORTEST]
    if len(values) > _MOST_VALUES:
        return True  # nobody's honest query; not worth searching for each
    return any(value.lower().encode(charset, "ignore") in content for value in values)


def _holds_secret(request: HttpRequest, response: HttpResponse) -> bool:
    # Django's get_token() leaves this key behind, whatever it makes of its value later.
    return bool(response.cookies) or "CSRF_COOKIE_NEEDS_UPDATE" in request.META
