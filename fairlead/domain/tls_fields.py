"""The fields of TLS that listeners and pools have in common, declared once.

PURE. Read by model.py; what the fields mean together is in tls.py.
"""

from typing import Annotated, Literal

from fairlead.domain import types
from fairlead.domain.types import field

Authentication = Literal["NONE", "OPTIONAL", "MANDATORY"]
TlsVersion = Literal["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
AlpnProtocol = Literal["h2", "http/1.1", "http/1.0"]

Reference = Annotated[
    str | None, field("URL in the secret store.", max_length=255, check=types.reference)
]
Ciphers = Annotated[
    str | None, field("OpenSSL cipher list; null where there is no TLS.",
                      max_length=2048, check=types.cipher_list)
]  # fmt: skip
TlsVersions = Annotated[
    tuple[TlsVersion, ...] | None, field("TLS versions; null where there is no TLS.",
                                         check=types.some)
]  # fmt: skip
AlpnProtocols = Annotated[
    tuple[AlpnProtocol, ...] | None, field("ALPN protocols; null where there is no TLS.",
                                           check=types.some)
]  # fmt: skip
