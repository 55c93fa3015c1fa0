"""What Cloudflare's edge adds to a request: `request.cf`, and the headers `cf-connecting-ip`, `cf-ray`, `cf-ipcountry`.

All emulated: nobody looks up where a visitor is, so each is in one place, over a connection of one kind, with a number
of a network that is kept for documentation (RFC 5398). The names and types of the fields are those of Cloudflare's page
"Request", section `IncomingRequestCfProperties`. `isEUCountry` is there for visitors from the EU alone, `botManagement`
for accounts that pay for it.
"""

from __future__ import annotations

import json
import re
from random import getrandbits
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.local.runtime.http1 import Headers

CF_HEADER = "notebook-do-cf"
"""The header that workerd takes `request.cf` out of, between the workers port and it."""
CF: Mapping[str, Any] = MappingProxyType(
    {
        "asOrganization": "Local network",
        "asn": 64496,
        "city": "San Francisco",
        "clientTcpRtt": 1,
        "colo": "SFO",
        "continent": "NA",
        "country": "US",
        "edgeRequestKeepAliveStatus": 1,
        "httpProtocol": "HTTP/1.1",
        "latitude": "37.77490",
        "longitude": "-122.41940",
        "metroCode": "807",
        "postalCode": "94103",
        "region": "California",
        "regionCode": "CA",
        "requestPriority": "",
        "timezone": "America/Los_Angeles",
        "tlsCipher": "AEAD-AES128-GCM-SHA256",
        "tlsClientAuth": {"certPresented": "0", "certVerified": "NONE"},
        "tlsVersion": "TLSv1.3",
    }
)
"""`request.cf` of every request."""
FOLLOW = b"notebook-do-request"
"""The header with the id of a request that is followed, which its ray becomes: no Worker sees it."""
FOLLOWED = re.compile(rb"d0d0[0-9a-f]{12}")
"""An id that is followed. `system.js` knows it by its beginning."""
OURS = frozenset((b"cf-connecting-ip", b"cf-ray", b"cf-ipcountry", CF_HEADER.encode(), FOLLOW))
"""The headers that a Worker trusts, so a client's own must not pass."""
_BLOB = json.dumps(dict(CF), separators=(",", ":")).encode()
_CONSTANT = ((b"cf-ipcountry", CF["country"].encode()), (CF_HEADER.encode(), _BLOB))
_COLO = CF["colo"].encode()


def edge_headers(client: str, given: bytes = b"") -> Headers:
    """Return the headers that a request from this address gets; each has a ray of its own, or the one that is given."""
    ray = given if FOLLOWED.fullmatch(given) else b"%016x" % getrandbits(64)
    return [(b"cf-connecting-ip", client.encode()), (b"cf-ray", b"%b-%b" % (ray, _COLO)), *_CONSTANT]
