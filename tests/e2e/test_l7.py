"""L7 policies and rules, decided on real requests.

One load balancer holds them all, a listener per subject. In the table of comparisons each rule
has a policy of its own, which redirects to a URL that names it: what no rule takes is answered
by a member.
"""

from collections.abc import Iterator

import pytest
from msgspec import Struct

from tests.e2e.api import Balancer
from tests.e2e.clients import Reply, ask
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import Body, listener, member, pool

Request = tuple[str, dict[str, str]]
CODES = (301, 302, 303, 307, 308)
# Each of these would be more than text in haproxy.cfg if it were not quoted.
HOSTILE = """a "b" 'c' \\d #e %[src] ${HOME} $HOME {f} (g) if TRUE"""
HOSTILE_URL = "https://t.example/?a='b'&c=%[src]&d=\"e\"&f=${HOME}&g=%20%41#h\\i"
COMPARISONS = 80
ACTIONS = 81
POOL_FIRST = 82
REJECT_FIRST = 83
LOGIC = 84
QUOTING = 85


class Case(Struct, frozen=True, kw_only=True):
    """A rule with requests that it takes and requests that it must leave alone."""

    rule: Body
    takes: list[Request]
    leaves: list[Request]

    @property
    def name(self) -> str:
        return f"{self.rule['type']}-{self.rule['compare_type']}".lower()


def _rule(kind: str, compare: str, value: str, key: str | None = None, **fields: object) -> Body:
    named = {"key": key} if key else {}
    return {"type": kind, "compare_type": compare, "value": value, **named, **fields}


def _hosts(compare: str, value: str, takes: list[str], leaves: list[str]) -> Case:
    requests = [[("/", {"Host": host}) for host in hosts] for hosts in (takes, leaves)]
    return Case(rule=_rule("HOST_NAME", compare, value), takes=requests[0], leaves=requests[1])


def _paths(kind: str, compare: str, value: str, takes: list[str], leaves: list[str]) -> Case:
    requests = [[(path, {}) for path in paths] for paths in (takes, leaves)]
    return Case(rule=_rule(kind, compare, value), takes=requests[0], leaves=requests[1])


def _fields(compare: str, value: str, takes: list[str], leaves: list[str]) -> Case:
    """A header of its own for every comparison."""
    key = f"X-{compare}".replace("_", "-")
    requests = [[("/", {key: text}) for text in texts] for texts in (takes, leaves)]
    elsewhere = ("/", {"X-Other": takes[0]})
    rule = _rule("HEADER", compare, value, key)
    return Case(rule=rule, takes=requests[0], leaves=[*requests[1], elsewhere])


def _cookies(compare: str, value: str, takes: list[str], leaves: list[str]) -> Case:
    """A cookie of its own for every comparison, among others."""
    key = compare.lower()
    requests = [
        [("/", {"Cookie": f"first=1; {key}={text}; last=2"}) for text in texts]
        for texts in (takes, leaves)
    ]
    elsewhere = ("/", {"Cookie": f"other={takes[0]}"})
    rule = _rule("COOKIE", compare, value, key)
    return Case(rule=rule, takes=requests[0], leaves=[*requests[1], elsewhere])


CASES = [
    _hosts("EQUAL_TO", "eq.example", ["eq.example", "EQ.Example", "eq.example:8080"],
           ["neq.example", "eq.example.org"]),
    _hosts("STARTS_WITH", "begin.", ["begin.example", "Begin.x"], ["a.begin.example"]),
    _hosts("ENDS_WITH", ".end.example", ["a.end.example", "b.end.EXAMPLE"], ["end.example.org"]),
    _hosts("CONTAINS", "middle", ["a.middle.example"], ["a.mid.dle.example"]),
    _hosts("REGEX", r"^r[0-9]{2}\.example$", ["r42.example"], ["r4.example", "r42xexample"]),
    _paths("PATH", "EQUAL_TO", "/equal", ["/equal", "/equal?q=1"], ["/equal/", "/Equal"]),
    _paths("PATH", "STARTS_WITH", "/start/", ["/start/", "/start/x"], ["/start", "/x/start/"]),
    _paths("PATH", "ENDS_WITH", "/end", ["/x/end", "/end"], ["/end/x", "/?/end"]),
    _paths("PATH", "CONTAINS", "/inner/", ["/a/inner/b"], ["/a/inne/r", "/?/inner/"]),
    _paths("PATH", "REGEX", "^/re/[a-c]+$", ["/re/abc"], ["/re/abd", "/x/re/abc"]),
    _paths("FILE_TYPE", "EQUAL_TO", "jpg", ["/a.jpg", "/a/b.c.jpg?x"], ["/ajpg", "/a.jpg/b"]),
    _paths("FILE_TYPE", "REGEX", "^(png|gif)$", ["/a.png", "/b/c.gif"],
           ["/a.pngx", "/png", "/a.png/b", "/.png/x"]),
    _fields("EQUAL_TO", "same", ["same", "other, same"], ["Same", "sameness"]),
    _fields("STARTS_WITH", "beg", ["beginning", "x, begin"], ["abeg"]),
    _fields("ENDS_WITH", "ing", ["ending", "ending, x"], ["ings"]),
    _fields("CONTAINS", "b c", ["a b c d"], ["a bc d"]),
    _fields("REGEX", r"^\d+ (apples|pears)$", ["12 pears"], ["12 plums", "x 12 pears"]),
    _cookies("EQUAL_TO", "yes", ["yes"], ["yess", "no"]),
    _cookies("STARTS_WITH", "ab", ["abc"], ["cab"]),
    _cookies("ENDS_WITH", "yz", ["xyz"], ["yzx"]),
    _cookies("CONTAINS", "mid", ["amidst"], ["mi-d"]),
    _cookies("REGEX", "^[0-9a-f]{4}$", ["beef"], ["beefy", "meat"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    made = site.api.balancer(
        name="l7",
        vip_subnet_id=site.subnet4["id"],
        pools=[pool("main", [member(farm, 8001)]), pool("api", [member(farm, 8002)])],
        listeners=[
            _with_policies(COMPARISONS, [_to_url(case.name, case.rule) for case in CASES]),
            _with_policies(ACTIONS, [*_actions()]),
            _with_policies(POOL_FIRST, [_to_pool("/a/"), _reject("/a/secret")]),
            _with_policies(REJECT_FIRST, [_reject("/a/secret"), _to_pool("/a/")]),
            _with_policies(LOGIC, _logic()),
            _with_policies(QUOTING, _hostile()),
        ],
    )
    yield made
    made.delete()


def _with_policies(port: int, policies: list[Body]) -> Body:
    named = [{"name": f"{port}-{number}", **policy} for number, policy in enumerate(policies)]
    return listener(port, {"name": "main"}, l7policies=named)


def _to_url(word: str, *rules: Body) -> Body:
    return {"action": "REDIRECT_TO_URL", "redirect_url": f"http://{word}/", "rules": [*rules]}


def _to_pool(path: str) -> Body:
    rule = _rule("PATH", "STARTS_WITH", path)
    return {"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "api"}, "rules": [rule]}


def _reject(path: str) -> Body:
    return {"action": "REJECT", "rules": [_rule("PATH", "STARTS_WITH", path)]}


def _actions() -> Iterator[Body]:
    yield _reject("/reject")
    yield _to_pool("/pool")
    for code in CODES:
        for action, target in (
            ("REDIRECT_TO_URL", {"redirect_url": "https://url.example/x?y=%20"}),
            ("REDIRECT_PREFIX", {"redirect_prefix": "https://prefix.example/p"}),
        ):
            rule = _rule("PATH", "STARTS_WITH", f"/{action}/{code}")
            yield {"action": action, "redirect_http_code": code, "rules": [rule], **target}


def _logic() -> list[Body]:
    return [
        _to_url(
            "all-of-three",
            _rule("PATH", "STARTS_WITH", "/and"),
            _rule("HEADER", "EQUAL_TO", "1", "X-One"),
            _rule("COOKIE", "EQUAL_TO", "yes", "ok", invert=True),
        ),
        _to_url(
            "not-this-host",
            _rule("HOST_NAME", "EQUAL_TO", "known.example", invert=True),
            _rule("PATH", "EQUAL_TO", "/invert"),
        ),
        _to_url("not-of-type", _rule("PATH", "STARTS_WITH", "/files/"),
                _rule("FILE_TYPE", "EQUAL_TO", "txt", invert=True)),
    ]  # fmt: skip


def _hostile() -> list[Body]:
    return [
        _to_url("header", _rule("HEADER", "EQUAL_TO", HOSTILE, "X-Hostile")),
        _to_url("regex", _rule("HEADER", "REGEX", r"""^['"\\# ]+ \$\{x\} %\[src\]$""", "X-Regex")),
        _to_url("path", _rule("PATH", "EQUAL_TO", "/it's/${HOME}/\"%[src]\\")),
        _to_url("cookie", _rule("COOKIE", "EQUAL_TO", "a'b#c$d%[src]{e}", "c!#$%&'*+.^_`|~")),
        {"action": "REDIRECT_TO_URL", "redirect_url": HOSTILE_URL,
         "rules": [_rule("PATH", "EQUAL_TO", "/url")]},
        {"action": "REDIRECT_PREFIX", "redirect_prefix": HOSTILE_URL,
         "rules": [_rule("PATH", "EQUAL_TO", "/prefix")]},
        _to_url("host", _rule("HOST_NAME", "CONTAINS", "'#\"")),
    ]  # fmt: skip


def _asked(lb: Balancer, port: int, request: Request) -> Reply:
    path, headers = request
    return ask(lb.vip, port, path, headers=headers)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_rule_takes_what_it_describes(lb: Balancer, case: Case) -> None:
    for request in case.takes:
        reply = _asked(lb, COMPARISONS, request)
        assert (reply.status, reply.location) == (302, f"http://{case.name}/"), request
    for request in case.leaves:
        assert _asked(lb, COMPARISONS, request).name == "farm:8001", request


def test_reject(lb: Balancer) -> None:
    assert ask(lb.vip, ACTIONS, "/reject/x").status == 403
    assert ask(lb.vip, ACTIONS, "/").name == "farm:8001"


def test_redirect_to_pool(lb: Balancer) -> None:
    assert ask(lb.vip, ACTIONS, "/pool/x").name == "farm:8002"
    lb.put("api", admin_state_up=False)
    assert ask(lb.vip, ACTIONS, "/pool/x").name == "farm:8001", "passed over"
    lb.put("api", admin_state_up=True)
    assert ask(lb.vip, ACTIONS, "/pool/x").name == "farm:8002"


@pytest.mark.parametrize("code", CODES)
def test_redirects_with_each_code(lb: Balancer, code: int) -> None:
    reply = ask(lb.vip, ACTIONS, f"/REDIRECT_TO_URL/{code}?x=1")
    assert (reply.status, reply.location) == (code, "https://url.example/x?y=%20")
    path = f"/REDIRECT_PREFIX/{code}/deep?x=1"
    reply = ask(lb.vip, ACTIONS, path)
    assert (reply.status, reply.location) == (code, f"https://prefix.example/p{path}")


def test_the_first_policy_by_position_decides(lb: Balancer) -> None:
    assert ask(lb.vip, POOL_FIRST, "/a/secret").name == "farm:8002"
    assert ask(lb.vip, REJECT_FIRST, "/a/secret").status == 403
    assert ask(lb.vip, REJECT_FIRST, "/a/open").name == "farm:8002"
    lb.put(f"{POOL_FIRST}-1", position=1)
    assert ask(lb.vip, POOL_FIRST, "/a/secret").status == 403
    assert ask(lb.vip, POOL_FIRST, "/a/open").name == "farm:8002"
    lb.put(f"{POOL_FIRST}-1", position=2)
    assert ask(lb.vip, POOL_FIRST, "/a/secret").name == "farm:8002"


def test_all_rules_of_a_policy_must_hold(lb: Balancer) -> None:
    one, ok = {"X-One": "1"}, {"Cookie": "ok=yes"}
    assert ask(lb.vip, LOGIC, "/and", headers=one).location == "http://all-of-three/"
    assert ask(lb.vip, LOGIC, "/and", headers=one | {"Cookie": "ok=no"}).status == 302
    for path, headers in (("/and", {}), ("/or", one), ("/and", one | ok)):
        assert ask(lb.vip, LOGIC, path, headers=headers).name == "farm:8001"


def test_inverted_rules(lb: Balancer) -> None:
    known = {"Host": "known.example"}
    assert ask(lb.vip, LOGIC, "/invert").location == "http://not-this-host/"
    assert ask(lb.vip, LOGIC, "/files/a.exe").location == "http://not-of-type/"
    assert ask(lb.vip, LOGIC, "/files/a.txt").name == "farm:8001"
    assert ask(lb.vip, LOGIC, "/invert", headers=known).name == "farm:8001"


def test_text_that_looks_like_configuration_is_text(lb: Balancer) -> None:
    header = {"X-Hostile": HOSTILE}
    assert ask(lb.vip, QUOTING, headers=header).location == "http://header/"
    assert ask(lb.vip, QUOTING, headers={"X-Hostile": HOSTILE[:-1]}).status == 200
    regex = {"X-Regex": """'"\\# ${x} %[src]"""}
    assert ask(lb.vip, QUOTING, headers=regex).location == "http://regex/"
    assert ask(lb.vip, QUOTING, "/it's/${HOME}/\"%[src]\\").location == "http://path/"
    cookie = {"Cookie": "c!#$%&'*+.^_`|~=a'b#c$d%[src]{e}"}
    assert ask(lb.vip, QUOTING, headers=cookie).location == "http://cookie/"
    assert ask(lb.vip, QUOTING, "/url").location == HOSTILE_URL
    assert ask(lb.vip, QUOTING, "/prefix").location == f"{HOSTILE_URL}/prefix"


def test_policies_and_rules_change(lb: Balancer) -> None:
    target, name = "https://new.example/", f"{ACTIONS}-0"
    lb.put(name, redirect_url=target, redirect_http_code=307)
    reply = ask(lb.vip, ACTIONS, "/reject")
    assert (reply.status, reply.location) == (307, target)
    lb.put(f"{name}/0", value="/elsewhere", compare_type="EQUAL_TO")
    assert ask(lb.vip, ACTIONS, "/reject").status == 200
    assert ask(lb.vip, ACTIONS, "/elsewhere").location == target
    lb.add_rule(name, **_rule("HEADER", "EQUAL_TO", "1", "X-Also"))
    lb.settled()
    assert ask(lb.vip, ACTIONS, "/elsewhere").status == 200
    assert ask(lb.vip, ACTIONS, "/elsewhere", headers={"X-Also": "1"}).status == 307
    lb.put(name, action="REJECT")
    assert ask(lb.vip, ACTIONS, "/elsewhere", headers={"X-Also": "1"}).status == 403
    lb.remove(name)
    lb.settled()
    assert ask(lb.vip, ACTIONS, "/elsewhere", headers={"X-Also": "1"}).status == 200
