"""Properties of haproxy.cfg for any tree, whatever its users wrote into it."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.domain import regexes
from fairlead.domain.tree import Tree
from fairlead.render.quoting import location, word
from fairlead.render.servers import line
from tests.render.checking import complaints, rendered, words
from tests.strategies import disarmed, planted, replace, trees, urls

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(trees())
def test_haproxy_accepts_every_tree(tree: Tree) -> None:
    text = rendered(tree).text
    assert text == "" or complaints(text) == ""


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(trees())
def test_text_of_users_adds_no_line_and_no_word(tree: Tree) -> None:
    hostile = words(rendered(tree).text)
    harmless = words(rendered(disarmed(tree)).text)
    assert [(len(w), w[:2]) for w in hostile] == [(len(w), w[:2]) for w in harmless]


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(trees())
def test_server_lines_and_server_data_are_the_same(tree: Tree) -> None:
    made = rendered(tree)
    lines = [one for one in made.text.split("\n") if one.startswith("    server ")]
    assert lines == [line(server) for server in made.servers]
    bare = [one for one in made.text.split("\n") if not one.startswith("    server ")]
    again = rendered(without_members(tree))
    assert again.text.split("\n") == bare
    assert again.skeleton == made.skeleton


def without_members(tree: Tree) -> Tree:
    kept = {k: v for k, v in tree.objects.items() if v.KIND != "member"}
    return replace(tree, objects=kept)


FRAGMENTS = (
    "a", "0", "-", "^", "$", "|", "(", ")", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:",
    "(?P<n>", "(?P=n)", "(?(1)", "(?#", "(?x)", "(?i)", "[", "]", "[^", "\\d", "\\w", "\\b", "\\B",
    "\\A", "\\Z", "\\v", "\\1", "\\x41", "\\u0041", "\\.", "\\\\", "\\]", "{", "}", "{2}", "{1,3}",
    "{200,}", "{0,600}", "{,3}", "{9999}", "*", "+", "?", ":", ".", "=", " ", "#", "'", '"',
    "[a-z]", "[:a:]", "[.a.]", "[[:alpha:]]",
    "[]a]", "[\\w-]", "\\Q", "\\E", "\\h", "(a)", "é", "\x85",
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 40), st.lists(st.text(max_size=12)))
def test_haproxy_compiles_every_regex_that_rules_accept(
    seed: int, most: int, wild: list[str]
) -> None:
    chance = random.Random(seed)
    made = ["".join(chance.choices(FRAGMENTS, k=chance.randint(1, most))) for _ in range(1000)]
    accepted = [pattern for pattern in dict.fromkeys([*made, *wild]) if usable(pattern)]
    acls = [f" acl r{n} path -m reg -- {word(p)}\n" for n, p in enumerate(accepted)]
    head = "defaults\n mode http\n timeout client 1s\nfrontend f\n bind 127.0.0.1:1\n"
    assert complaints(head + "".join(acls)) == ""


def usable(pattern: str) -> bool:
    try:
        regexes.check(pattern)
    except ValueError:
        return False
    return 0 < len(pattern) <= 255


@given(urls())
def test_a_url_is_one_plain_word_of_a_log_format(url: str) -> None:
    (plain,) = words(location(url))[0]
    assert plain.isascii()
    assert "%" not in plain.replace("%%", "")


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x00", "\x7f"])
def test_control_characters_are_never_written(text: str) -> None:
    with pytest.raises(ValueError, match="control"):
        word(text)


def test_a_policy_of_fifty_long_rules_fits() -> None:
    rules = [
        {"type": "HEADER", "compare_type": "REGEX", "key": "X'" * 127, "value": "'" * 255}
        for _ in range(50)
    ]
    pool = {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    tree = planted({
        "pools": [pool],
        "listeners": [{"protocol": "HTTP", "protocol_port": 80, "l7policies": [
            {"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "p"}, "rules": rules},
            {"redirect_url": "http://" + "'" * 248, "action": "REDIRECT_TO_URL", "rules": rules,
             "redirect_http_code": 308},
        ]}],
    })  # fmt: skip
    assert complaints(rendered(tree).text) == ""
