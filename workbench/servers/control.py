"""The proxy's control channel: HTTP on the loopback interface, with the routes and error bodies of Toxiproxy's API.

    GET    /version
    GET    /proxies                             {name: proxy}
    GET    /proxies/{name}
    POST   /proxies/{name}                      {"enabled": false}: closed and every connection reset; true: open again
    GET    /proxies/{name}/toxics
    POST   /proxies/{name}/toxics               add one
    GET    /proxies/{name}/toxics/{toxic}
    DELETE /proxies/{name}/toxics/{toxic}
    POST   /reset                               open, and no toxics

Ours in addition: `GET /proxies/{name}/counts`, `POST /proxies/{name}/reset_connections` and `.../reset_silent`, which resets
only what a black hole has left silent. Unlike Toxiproxy's, every request must carry the token (`Authorization: Bearer ...`), so that no other program of the machine can command it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from workbench.servers.toxics import Toxic, ToxicError, parse

API_VERSION = "2.12.0"
MAX_BODY = 64 * 1024
MAX_HEADERS = 100
#: A client that has not sent its request by then is hung up on, seconds.
READ_WITHIN = 10.0


class CommandError(Exception):
    """A command that cannot be carried out, with the HTTP status that says why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Commands(Protocol):
    """What can be commanded."""

    name: str

    def describe(self) -> dict[str, Any]:
        """The proxy as Toxiproxy's API shows it."""

    def counts(self) -> dict[str, int]:
        """The wire counts now."""

    def get(self, name: str) -> Toxic:
        """A toxic by name. Raises CommandError when there is none."""

    def add(self, toxic: Toxic) -> None:
        """Switch a toxic on. Raises CommandError when the name is taken or the port cannot be bound."""

    def remove(self, name: str) -> None:
        """Switch a toxic off. Raises CommandError when there is none."""

    def clear(self) -> None:
        """Switch everything off."""

    def enable(self, enabled: bool) -> None:
        """Take the whole proxy down or up."""

    def reset_connections(self) -> int:
        """RST on every open connection; how many."""

    def reset_silent(self) -> int:
        """RST on every connection that a black hole has left silent; how many."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request that was read."""

    method: str
    path: str
    token: str
    body: bytes


class Control:
    """Answers commands. One request per connection: they are rare, and nothing is then left to go stale."""

    def __init__(self, commands: Commands, token: str) -> None:
        self._commands = commands
        self._token = token.encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection of the control port."""
        try:
            try:
                command = await asyncio.wait_for(_read(reader), READ_WITHIN)
                status, answer = self.run(command)
            except CommandError as error:
                status, answer = error.status, {"error": str(error), "status": int(error.status)}
            body = b"" if status == HTTPStatus.NO_CONTENT else json.dumps(answer).encode()
            head = (
                f"HTTP/1.1 {int(status)} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client hung up, or never asked: there is nobody to tell
        finally:
            writer.close()

    def run(self, command: Command) -> tuple[HTTPStatus, Any]:
        """Carry out one command in one go: nothing else happens in the proxy meanwhile.

        Raises:
            CommandError: it cannot be carried out; nothing was changed.
        """
        if not hmac.compare_digest(command.token.encode(), self._token):
            raise CommandError(HTTPStatus.UNAUTHORIZED, "missing or wrong control token")
        try:
            return self._route(command.method, command.path.strip("/").split("/"), command.body)
        except ToxicError as error:
            raise CommandError(HTTPStatus.BAD_REQUEST, str(error)) from error

    def _route(self, method: str, path: list[str], body: bytes) -> tuple[HTTPStatus, Any]:
        commands = self._commands
        match method, path:
            case "GET", ["version"]:
                return HTTPStatus.OK, {"version": API_VERSION}
            case "GET", ["proxies"]:
                return HTTPStatus.OK, {commands.name: commands.describe()}
            case "POST", ["reset"]:
                commands.clear()
                return HTTPStatus.OK, {}
            case _, ["proxies", name, *rest] if name == commands.name:
                return self._route_proxy(method, rest, body)
            case _, ["proxies", name, *_]:
                raise CommandError(
                    HTTPStatus.NOT_FOUND, f"proxy not found: {name}; this one is {commands.name}"
                )
        raise CommandError(HTTPStatus.NOT_FOUND, f"no such command: {method} /{'/'.join(path)}")

    def _route_proxy(self, method: str, path: list[str], body: bytes) -> tuple[HTTPStatus, Any]:
        commands = self._commands
        match method, path:
            case "GET", []:
                return HTTPStatus.OK, commands.describe()
            case "POST" | "PATCH", []:
                wanted = _json(body)
                if (
                    not isinstance(wanted, dict)
                    or not isinstance(wanted.get("enabled"), bool)
                    or len(wanted) > 1
                ):
                    raise CommandError(
                        HTTPStatus.BAD_REQUEST, 'only {"enabled": true or false} can be changed'
                    )
                commands.enable(wanted["enabled"])
                return HTTPStatus.OK, commands.describe()
            case "GET", ["toxics"]:
                return HTTPStatus.OK, commands.describe()["toxics"]
            case "POST", ["toxics"]:
                toxic = parse(_json(body))
                commands.add(toxic)
                return HTTPStatus.OK, toxic.as_dict()
            case "GET", ["toxics", toxic_name]:
                return HTTPStatus.OK, commands.get(toxic_name).as_dict()
            case "DELETE", ["toxics", toxic_name]:
                commands.remove(toxic_name)
                return HTTPStatus.NO_CONTENT, {}
            case "GET", ["counts"]:
                return HTTPStatus.OK, commands.counts()
            case "POST", ["reset_connections"]:
                return HTTPStatus.OK, {"reset": commands.reset_connections()}
            case "POST", ["reset_silent"]:
                return HTTPStatus.OK, {"reset": commands.reset_silent()}
        raise CommandError(HTTPStatus.NOT_FOUND, f"no such command: {method} {'/'.join(path)} of a proxy")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CommandError(HTTPStatus.BAD_REQUEST, f"bad request body: not JSON ({error})") from error


async def _read(reader: asyncio.StreamReader) -> Command:
    try:
        words = (await reader.readuntil(b"\r\n")).decode("latin-1").split()
        if len(words) != 3:
            raise CommandError(HTTPStatus.BAD_REQUEST, "not an HTTP request")
        headers: dict[str, str] = {}
        while line := (await reader.readuntil(b"\r\n")).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
            if len(headers) > MAX_HEADERS:
                raise CommandError(HTTPStatus.BAD_REQUEST, "too many headers")
    except asyncio.LimitOverrunError as error:
        raise CommandError(HTTPStatus.BAD_REQUEST, "a header is too long") from error
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > MAX_BODY:
        raise CommandError(HTTPStatus.BAD_REQUEST, f"bad Content-Length {length[:20]!r}; at most {MAX_BODY}")
    body = await reader.readexactly(int(length))
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return Command(words[0], words[1], token if scheme.lower() == "bearer" else "", body)
