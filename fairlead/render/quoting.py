"""How user text is spelled in haproxy.cfg, so that it stays one word of one line.

PURE. haproxy reads a line in up to three passes: the line is cut into words (`word`), the
parentheses of a sample expression are cut into arguments (`argument`), and some words are
log-format strings (`literal`). Text from users passes through one of these functions, always.
The domain refuses control characters long before; here they are an error of the caller.
"""

import re
from urllib.parse import quote

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

_PLAIN = re.compile(r"[A-Za-z0-9+!:@=_./-]+")


def word(text: str) -> str:
    """One word of a line: strongly quoted, where nothing but the quote itself is special."""
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        raise ValueError("text with control characters cannot stand in haproxy.cfg")
    return "'" + text.replace("'", "'\\''") + "'"


def plain(text: str) -> str:
    """A word that needs no quotes, so that it can also stand in a command of the runtime API."""
    if not _PLAIN.fullmatch(text):
        raise ValueError("text with characters of another meaning needs quotes")
    return text


def argument(text: str) -> str:
    """An argument inside the parentheses of a sample expression, before `word` is applied."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def fetch(method: str, name: str) -> str:
    """A sample expression of one user-given argument, such as req.hdr of a name, as a word."""
    return word(f"{method}({argument(name)})")


def location(url: str) -> str:
    """A URL as a log-format word that yields exactly itself; what is not ASCII is %-encoded."""
    return word(quote(url, safe=_PRINTABLE).replace("%", "%%"))


def host(address: str) -> str:
    """An address where a port follows or could follow: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
