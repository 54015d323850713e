"""Compatibility tables: which protocols, monitors and options go together.

PURE data, read by rules.py. Nothing here is a decision of its own: the API's contract is.
"""

POOLS_OF_LISTENER: dict[str, frozenset[str]] = {
    "TCP": frozenset({"HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2"}),
    "HTTP": frozenset({"HTTP", "PROXY", "PROXYV2"}),
    "HTTPS": frozenset({"HTTPS", "TCP", "PROXY", "PROXYV2"}),
    "TERMINATED_HTTPS": frozenset({"HTTP", "PROXY", "PROXYV2"}),
    "UDP": frozenset({"UDP"}),
    "SCTP": frozenset({"SCTP"}),
    "PROMETHEUS": frozenset(),
}

_STREAM_POOLS = frozenset({"HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2"})
_STREAM_MONITORS = frozenset({"HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO"})
_DATAGRAM_MONITORS = frozenset({"UDP-CONNECT", "SCTP", "TCP", "HTTP"})
MONITORS_OF_POOL: dict[str, frozenset[str]] = {
    **dict.fromkeys(_STREAM_POOLS, _STREAM_MONITORS),
    **dict.fromkeys(("UDP", "SCTP"), _DATAGRAM_MONITORS),
}

# Seconds between two checks without an answer to wait for.
UDP_CONNECT_DELAY = 3

PERSISTENCE_POOLS: dict[str, frozenset[str]] = {
    "SOURCE_IP": _STREAM_POOLS | {"UDP", "SCTP"},
    "HTTP_COOKIE": _STREAM_POOLS,
    "APP_COOKIE": _STREAM_POOLS,
    "ONE_PACKET_SCHEDULING": frozenset({"UDP"}),
}

HTTP_MONITORS = frozenset({"HTTP", "HTTPS"})
HTTP_MONITOR_DEFAULTS = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}

L7_LISTENERS = frozenset({"HTTP", "TERMINATED_HTTPS"})
# Those that answer clients in HTTP, from members or by themselves.
HTTP_LISTENERS = L7_LISTENERS | {"PROMETHEUS"}

INSERT_HEADERS = frozenset({
    "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP",
    "X-Client-IP", "X-Real-IP",
})  # fmt: skip
# On listeners that terminate TLS, besides.
TLS_HEADERS = frozenset({
    "X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN",
    "X-SSL-Issuer", "X-SSL-Client-SHA1", "X-SSL-Client-Not-Before", "X-SSL-Client-Not-After",
})  # fmt: skip

TRANSPORT: dict[str, str] = {"UDP": "UDP", "SCTP": "SCTP"}

ACTION_OF_TARGET = {
    "redirect_pool_id": "REDIRECT_TO_POOL",
    "redirect_url": "REDIRECT_TO_URL",
    "redirect_prefix": "REDIRECT_PREFIX",
}
REDIRECT_CODE_ACTIONS = frozenset({"REDIRECT_TO_URL", "REDIRECT_PREFIX"})

_ALL = frozenset({"REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"})
COMPARES_OF_RULE: dict[str, frozenset[str]] = {
    "HOST_NAME": _ALL,
    "PATH": _ALL,
    "FILE_TYPE": frozenset({"EQUAL_TO", "REGEX"}),
    "HEADER": _ALL,
    "COOKIE": _ALL,
    "SSL_CONN_HAS_CERT": frozenset({"EQUAL_TO"}),
    "SSL_VERIFY_RESULT": frozenset({"EQUAL_TO"}),
    "SSL_DN_FIELD": _ALL,
}
KEY_OF_RULE: dict[str, str] = {
    "HEADER": "required",
    "COOKIE": "required",
    "SSL_DN_FIELD": "required",
    "SSL_CONN_HAS_CERT": "forbidden",
    "SSL_VERIFY_RESULT": "forbidden",
}
MAX_RULES = 50

# Of one load balancer. Every request about it reads all of them.
MAX_OBJECTS = 5000

# What names something that does not exist here, per kind: a field that keeps its default (else
# 400), and why.
NOT_FOUND: dict[str, dict[str, str]] = {
    "member": {"request_sriov": "It needs a flavor that allows it."},
}

# What our own provider cannot do yet, per kind: a field and the values it can take.
# An unsupported value is refused as an option (501), with nothing stored.
SUPPORTED_VALUES: dict[str, dict[str, frozenset[object]]] = {
    "loadbalancer": {},
    "listener": {"protocol": frozenset({"HTTP", "TCP", "HTTPS", "TERMINATED_HTTPS", "PROMETHEUS"})},
    "pool": {"protocol": frozenset({"HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2"})},
    "member": {},
    "healthmonitor": {},
    "l7policy": {},
    "l7rule": {},
}
