"""Load balancers worth reading as haproxy.cfg; each has a golden file of its name."""

from typing import Any

from tests.strategies import ANOTHER_VIP, VIP6

_MEMBERS = [
    {"address": "198.51.100.1", "protocol_port": 8080},
    {"address": "198.51.100.2", "protocol_port": 8080, "weight": 5, "backup": True},
]


def _pool(name: str = "web", **values: Any) -> dict[str, Any]:
    plain = {"name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": _MEMBERS}
    return plain | values


def _listener(port: int = 80, **values: Any) -> dict[str, Any]:
    return {"protocol": "HTTP", "protocol_port": port} | values


def _monitor(kind: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, "delay": 5, "timeout": 3, "max_retries": 2} | values


def _served(*pools: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A listener per pool, on ports from 80 up."""
    listeners = [
        _listener(80 + n, default_pool={"name": pool["name"]}, **values)
        for n, pool in enumerate(pools)
    ]
    return {"listeners": listeners, "pools": list(pools)}


def _policy(action: str = "REJECT", *rules: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"action": action, "rules": list(rules), **values}


def _rule(kind: str, compare: str, value: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, "compare_type": compare, "value": value, **values}


_UNEQUAL = {**_MEMBERS[0], "monitor_address": "203.0.113.1", "monitor_port": 99}

_TLS: dict[str, Any] = {
    "protocol": "TERMINATED_HTTPS",
    "default_tls_container_ref": "https://secrets.test/v1/containers/1",
}

SCENARIOS: dict[str, dict[str, Any]] = {
    "simple": _served(_pool()),
    "prometheus": {
        "listeners": [_listener(80, default_pool={"name": "web"}),
                      _listener(8088, protocol="PROMETHEUS", connection_limit=5,
                                timeout_client_data=1000, allowed_cidrs=["10.0.0.0/8"])],
        "pools": [_pool()],
    },
    "tcp": _served(
        _pool(protocol="TCP", healthmonitor=_monitor("TCP")),
        protocol="TCP",
        connection_limit=100,
        timeout_client_data=1000,
        timeout_member_connect=2000,
        timeout_member_data=3000,
        timeout_tcp_inspect=4000,
        allowed_cidrs=[f"10.{n}.0.0/16" for n in range(40)],
    ),
    "algorithms": _served(
        *(
            _pool(name, lb_algorithm=name)
            for name in ("LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT")
        )
    ),
    "persistence": _served(
        _pool("source", session_persistence={"type": "SOURCE_IP"}),
        _pool("cookie", session_persistence={"type": "HTTP_COOKIE"}),
        _pool("app", session_persistence={"type": "APP_COOKIE", "cookie_name": "it's"}),
    ),
    "cookies_without_http": _served(
        _pool("cookie", protocol="TCP", session_persistence={"type": "HTTP_COOKIE"}),
        _pool("app", protocol="TCP",
              session_persistence={"type": "APP_COOKIE", "cookie_name": "c"}),
        protocol="TCP",
    ),
    "monitors": _served(
        _pool("http", members=[_UNEQUAL], healthmonitor=_monitor(
            "HTTP", http_method="POST", url_path="/up?a='b'#c", expected_codes="200-204",
            max_retries_down=4,
        )),
        _pool("http11", healthmonitor=_monitor("HTTP", http_version=1.1)),
        _pool("https", healthmonitor=_monitor(
            "HTTPS", http_version=1.1, domain_name="www.example.com", expected_codes="200, 301",
        )),
        _pool("hello", healthmonitor=_monitor("TLS-HELLO")),
        _pool("ping", healthmonitor=_monitor("PING")),
        _pool("hurry", healthmonitor=_monitor("TCP", delay=0, timeout=0)),
        _pool("off", healthmonitor=_monitor("TCP", admin_state_up=False)),
    ),
    "proxy": _served(
        _pool("one", protocol="PROXY", healthmonitor=_monitor("HTTP")),
        _pool("two", protocol="PROXYV2", healthmonitor=_monitor("TLS-HELLO")),
    ),
    "headers": _served(
        _pool(),
        insert_headers={
            "X-Forwarded-For": "true", "X-Forwarded-Port": "TRUE", "X-Forwarded-Proto": "true",
            "X-Real-IP": "false", "X-Client-IP": "true", "X-Forwarded-IP": "true",
        },
    ),
    "ipv6": {"vip_address": VIP6} | _served(
        _pool(members=[{"address": "2001:db8::1", "protocol_port": 80}],
              session_persistence={"type": "SOURCE_IP"}),
        allowed_cidrs=["2001:db8::/32"],
    ),
    "additional_vips": {"additional_vips": [ANOTHER_VIP]} | _served(
        _pool(session_persistence={"type": "SOURCE_IP"}),
        allowed_cidrs=["10.0.0.0/8", "2001:db8::/32"],
    ),
    "out_of_service": {
        "listeners": [
            _listener(80, default_pool={"name": "off"}, l7policies=[
                _policy("REDIRECT_TO_POOL", _rule("PATH", "EQUAL_TO", "/a"),
                        redirect_pool={"name": "off"}),
                _policy("REJECT", _rule("PATH", "EQUAL_TO", "/b"), admin_state_up=False),
                _policy("REJECT"),
                _policy("REJECT", _rule("PATH", "EQUAL_TO", "/c", admin_state_up=False)),
            ]),
            _listener(81, default_pool={"name": "web"}),
            _listener(82, admin_state_up=False),
        ],
        "pools": [
            _pool("off", admin_state_up=False),
            _pool(members=[_MEMBERS[0] | {"admin_state_up": False}]),
        ],
    },
    "tls": _served(
        _pool(),
        **_TLS,
        insert_headers=dict.fromkeys([
            "X-Forwarded-Proto", "X-SSL-Client-Verify", "X-SSL-Client-Has-Cert",
            "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1",
            "X-SSL-Client-Not-Before", "X-SSL-Client-Not-After",
        ], "true"),
        hsts_max_age=31536000, hsts_include_subdomains=True, hsts_preload=True,
    ),
    "tls_choices": {
        "listeners": [
            _listener(443, **_TLS, default_pool={"name": "web"},
                      sni_container_refs=[f"https://secrets.test/{n}" for n in range(3)]),
            _listener(444, protocol="TERMINATED_HTTPS", default_pool={"name": "web"},
                      sni_container_refs=["https://secrets.test/only"],
                      tls_ciphers="TLS_AES_128_GCM_SHA256", alpn_protocols=["http/1.1"]),
            _listener(445, **_TLS, tls_versions=["TLSv1.1", "TLSv1.2"], hsts_max_age=0,
                      tls_ciphers="ECDHE-ECDSA-AES128-SHA:!aNULL"),
        ],
        "pools": [_pool(session_persistence={"type": "HTTP_COOKIE"})],
    },
    "tls_clients": _served(
        _pool(),
        **_TLS,
        client_authentication="OPTIONAL",
        client_ca_tls_container_ref="https://secrets.test/ca",
        client_crl_container_ref="https://secrets.test/crl",
        l7policies=[_policy(
            "REJECT",
            _rule("SSL_CONN_HAS_CERT", "EQUAL_TO", "True"),
            _rule("SSL_VERIFY_RESULT", "EQUAL_TO", "0", invert=True),
            _rule("SSL_DN_FIELD", "STARTS_WITH", "it's \"#", key="CN"),
        )],
    ),
    "tls_members": _served(
        _pool("trusting", tls_enabled=True, healthmonitor=_monitor("TCP")),
        _pool("verified", tls_enabled=True, members=[_MEMBERS[1], _UNEQUAL],
              ca_tls_container_ref="https://secrets.test/ca",
              crl_container_ref="https://secrets.test/crl",
              tls_container_ref="https://secrets.test/client",
              tls_versions=["TLSv1.3"], alpn_protocols=["h2"],
              healthmonitor=_monitor("HTTPS", http_version=1.1, domain_name="a.test")),
        _pool("proxy", protocol="PROXY", tls_enabled=True, healthmonitor=_monitor("HTTP")),
    ),
    "tls_streams": _served(_pool(protocol="TCP", tls_enabled=True), protocol="TCP"),
    "l7": {
        "listeners": [_listener(default_pool={"name": "web"}, l7policies=[
            _policy("REDIRECT_TO_POOL",
                    _rule("HOST_NAME", "EQUAL_TO", "api.example.com"),
                    _rule("PATH", "STARTS_WITH", "/v1/"),
                    redirect_pool={"name": "api"}),
            _policy("REJECT", _rule("HEADER", "CONTAINS", "evil bot", key="User-Agent"),
                    _rule("COOKIE", "EQUAL_TO", "good", key="pass", invert=True)),
            _policy("REDIRECT_TO_URL", _rule("FILE_TYPE", "EQUAL_TO", "jpg"),
                    redirect_url="https://img.example.com/100%?a=%20'x'"),
            _policy("REDIRECT_TO_URL", _rule("FILE_TYPE", "REGEX", "^(png|gif)$"),
                    redirect_url="https://img.example.com/ü", redirect_http_code=308),
            _policy("REDIRECT_PREFIX", _rule("PATH", "ENDS_WITH", "/"),
                    _rule("PATH", "REGEX", "^/(it's|[#\"$]) {2}"),
                    redirect_prefix="https://example.com", redirect_http_code=301),
        ])],
        "pools": [_pool(), _pool("api")],
    },
}  # fmt: skip
