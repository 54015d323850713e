"""What an L7 rule may compare with what.

PURE. Values end up in haproxy.cfg, quoted there; these checks refuse what could never match.
"""

import re

from fairlead.domain import protocols, regexes
from fairlead.domain.model import L7Rule
from fairlead.errors import Refused

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!#-\[\]-~]+|\"[\x20-\x7e]*\"|[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]")
_OF_PATH = frozenset({"PATH", "FILE_TYPE"})
_COOKIE_VALUE = re.compile(r"\"?[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*\"?")

_KEYS = {
    "SSL_DN_FIELD": (re.compile(r"[A-Za-z][A-Za-z0-9-]*"), "that begins with a letter and goes on "
                     "with letters, digits and '-'"),
}  # fmt: skip
_TLS_VALUES = {
    "SSL_CONN_HAS_CERT": (re.compile("true", re.IGNORECASE), "'true'"),
    "SSL_VERIFY_RESULT": (re.compile(r"[0-9]{1,9}"), "an integer of 0 or more"),
}


def check_rule(rule: L7Rule) -> None:
    """Raise `Refused` ("Error parsing L7Rule: ...") when the rule makes no sense."""
    if rule.compare_type not in protocols.COMPARES_OF_RULE[rule.type]:
        allowed = ", ".join(sorted(protocols.COMPARES_OF_RULE[rule.type]))
        raise _error(f"compare_type of a {rule.type} rule should be one of: {allowed}")
    _check_key(rule)
    if not rule.value:
        raise _error("value should not be empty")
    if rule.type in _TLS_VALUES:
        _check_tls_value(rule)
    elif rule.compare_type == "REGEX":
        _check_regex(rule.value)
    elif rule.type in _OF_PATH and "#" in rule.value:
        raise _error(f"value of a {rule.type} rule should not contain '#': no path does")
    elif rule.type == "COOKIE" and not _COOKIE_VALUE.fullmatch(rule.value):
        raise _error("value should be made of cookie-value characters")
    elif not _HEADER_VALUE.fullmatch(rule.value):
        raise _error("value should be made of printable ASCII without outer blanks")


def _check_key(rule: L7Rule) -> None:
    need = protocols.KEY_OF_RULE.get(rule.type, "ignored")
    pattern, meaning = _KEYS.get(rule.type, (_TOKEN, "made of token characters"))
    if need == "required" and (not rule.key or not pattern.fullmatch(rule.key)):
        raise _error(f"a {rule.type} rule needs a key {meaning}")
    if need == "forbidden" and rule.key:
        raise _error(f"a {rule.type} rule takes no key")


def _check_tls_value(rule: L7Rule) -> None:
    pattern, meaning = _TLS_VALUES[rule.type]
    if not pattern.fullmatch(rule.value):
        raise _error(f"value of a {rule.type} rule should be {meaning}")


def _check_regex(value: str) -> None:
    try:
        regexes.check(value)
    except ValueError as error:
        raise _error(str(error)) from None


def _error(rule: str) -> Refused:
    return Refused(f"Error parsing L7Rule: {rule}.")
