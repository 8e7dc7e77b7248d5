"""The payload mix: every GET route of the demo at fixed data, with the hash of each body as sent without compression.

It was frozen before any drill existed, and a test holds it: were it open to change, the claims about bandwidth and JSON
size (NET-1, NET-3) could be made to pass by choosing payloads. Every GET route is in it, the tiny ones too. Routes
that take a name appear with three of them, and lists that take a length with the default and a larger one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.demo.stocks.dataset import Size, symbol

#: The data set of the mix. The bodies, and so every hash, hang on it.
SIZE = Size(companies=30, bars=12_000, portfolios=6, seed=20_260_630)
FILE = Path(__file__).with_name("payload_mix.json")
WHY = (
    "The payload mix is frozen: it was fixed before any drill ran, so that no claim can be tuned through it. A change of "
    "the demo that alters these bodies makes new results incomparable with published ones. Undo the change; or, when "
    "it is meant, run `python -m workbench.demo payload_mix --write`, say why in the changelog, and publish new results."
)


@dataclass(frozen=True)
class Payload:
    """One response: its path, the URL name of its route, its type, and the size and hash of its body."""

    path: str
    route: str
    content_type: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PayloadMix:
    """All payloads at one size of data."""

    size: Size
    payloads: tuple[Payload, ...]

    @property
    def sha256(self) -> str:
        """One hash for the whole mix, for plans and journals."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def as_json(self) -> str:
        """The text of the file."""
        return json.dumps({"why": WHY, "sha256": self.sha256, **asdict(self)}, indent=1) + "\n"

    def differences(self, now: PayloadMix) -> list[str]:
        """What is different in `now`, in words; empty when nothing is."""
        frozen, found = ({payload.path: payload for payload in mix.payloads} for mix in (self, now))
        said = [] if self.size == now.size else [f"made from {now.size}, frozen at {self.size}"]
        said += [f"{path}: no longer in the mix" for path in frozen if path not in found]
        said += [f"{path}: not in the frozen mix" for path in found if path not in frozen]
        said += [
            f"{path}: {found[path].bytes} bytes {found[path].sha256[:12]} {found[path].content_type}, "
            f"frozen at {old.bytes} bytes {old.sha256[:12]} {old.content_type}"
            for path, old in frozen.items()
            if path in found and found[path] != old
        ]
        return said


def frozen_mix() -> PayloadMix:
    """The mix as it was frozen; needs no Django and no server."""
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return PayloadMix(Size(**data["size"]), tuple(Payload(**payload) for payload in data["payloads"]))


def paths() -> tuple[str, ...]:
    """The paths of the mix, GET all of them."""
    symbols = sorted(symbol(index) for index in range(SIZE.companies))
    three = (symbols[0], symbols[len(symbols) // 2], symbols[-1])
    keys = (1, 3, 6)
    return (
        "/",
        *(f"/stocks/{name}/" for name in three),
        *(f"/portfolios/{key}/" for key in keys),
        "/health/",
        "/api/stocks/",
        "/api/stocks/?limit=100",
        *(f"/api/stocks/{name}/" for name in three),
        *(f"/api/stocks/{name}/history/" for name in three),
        *(f"/api/stocks/{name}/history/?days=365" for name in three),
        *(f"/api/portfolios/{key}/" for key in keys),
        *(f"/api/watchlists/{key}/" for key in keys),
        *(f"/api/quotes/{name}/" for name in three),
        "/api/export/",
    )


def compute_mix() -> PayloadMix:
    """Fetch every path from the project in this process; its database holds the data set of `SIZE`.

    Raises:
        ValueError: when a path does not answer 200.
    """
    from django.test import Client, override_settings

    client = Client(SERVER_NAME="127.0.0.1", headers={"accept-encoding": "identity"})
    payloads = []
    # Off: nothing of the library may touch the bodies that its claims are measured on.
    with override_settings(STALWART={"ENABLED": False}):
        for path in paths():
            response = client.get(path)
            if response.status_code != 200:
                raise ValueError(f"{path} answered {response.status_code}: {response.content[:200]!r}")
            body = response.content
            payloads.append(
                Payload(
                    path,
                    response.resolver_match.url_name or "",
                    response["Content-Type"],
                    len(body),
                    hashlib.sha256(body).hexdigest(),
                )
            )
    return PayloadMix(SIZE, tuple(payloads))
