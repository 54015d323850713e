"""Which regular expressions an L7 rule may use.

PURE. haproxy compiles them with PCRE2, without captures and byte by byte; users know Python's
dialect best, and it is what this module can check. Accepted is what both read alike: one
expression that haproxy refused would stop every later change of the load balancer. Hence no
back-references, no named groups, no inline flags but a few, no POSIX classes, no groups inside
a look-behind, no expression that grows too large. tests/render proves with haproxy itself that
what passes here compiles there.
"""

import re

_ESCAPE = r"\\(?:[dDsSwWfnrt]|x[0-9A-Fa-f]{2}|[^A-Za-z0-9])"
_TOKEN = re.compile(
    rf"""
      (?P<atom>  {_ESCAPE} | [^\\()\[{{*+?] )
    | (?P<edge>  \\[AbBZ] )
    | (?P<set>   \[ \^? \]? (?: {_ESCAPE} | [^\]\[\\] )* \] )
    | (?P<open>  \( (?: \? (?: [:>=!] | <[=!] | [ims]+: ) | (?!\?) ) )
    | (?P<close> \) )
    | (?P<repeat> (?: [*+?] | \{{ (?P<least>\d{{1,4}}) (?: , (?P<most>\d{{0,4}}) )? \}} ) [?+]? )
    """,
    re.VERBOSE,
)
_BEHIND = ("(?<=", "(?<!")
_FLAGS = re.compile(r"\(\?[ims]+\)")
# PCRE2 takes a set such as [:a:] or [.a.] for a misplaced POSIX class.
_POSIX = re.compile(r"\[([:.=]).*\1\]", re.DOTALL)
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
# Of compiled code, in bytes, roughly. PCRE2 as haproxy links it ends at 64 kB.
_MAX_SIZE = 16000
_SIZE = {"atom": 3, "edge": 3, "set": 40, "open": 20, "close": 0}


def check(pattern: str) -> None:
    """Raise ValueError with the rule that the expression breaks."""
    if not _PRINTABLE.fullmatch(pattern):
        raise ValueError("a regular expression should be printable ASCII")
    flags = _FLAGS.match(pattern)
    _check_tokens(pattern, flags.end() if flags else 0)
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"value is not a regular expression: {error}") from None


def _check_tokens(pattern: str, at: int) -> None:
    """Walk the tokens and add up how large the expression gets once groups are repeated."""
    outer: list[int] = []
    total = last = 0
    behind = False
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        kind = token.lastgroup if token else None
        if token is None or (kind == "set" and _POSIX.fullmatch(token[0])):
            raise ValueError(f"regular expression cannot be used from '{pattern[at:]}' on")
        if token["open"] and behind:
            raise ValueError("regular expression has a group inside a look-behind")
        behind = kind != "close" and (behind or token[0] in _BEHIND)
        at = token.end()
        if token["repeat"]:
            # Only a group is repeated by copies of itself; a single character is not.
            copies = _copies(token) - 1 if last > _SIZE["set"] else 0
            total, last = total + copies * last, (copies + 1) * last
        elif token["open"]:
            outer.append(total)
            total = last = 0
        elif token["close"]:
            last = total + _SIZE["open"]
            total = last + (outer.pop() if outer else 0)
            last = max(last, _SIZE["set"] + 1)
        else:
            last = _SIZE[str(kind)]
            total += last
        if total > _MAX_SIZE:
            raise ValueError("regular expression is too large once its groups are repeated")


def _copies(repeat: re.Match[str]) -> int:
    """How often a repeated group stands in the compiled code."""
    if repeat["least"] is None:
        return 2
    return max(int(repeat["least"]) + 1, int(repeat["most"] or 0))
