"""How what the API shows is called.

PURE. Kinds of the tree have theirs in model.py, all others in catalog.py.
"""

from msgspec import Struct


class Naming(Struct, frozen=True, kw_only=True):
    """How a kind is called: in messages (`word`), bodies (`wrapper`) and lists (`plural`).

    `argument` is how Octavia's "Unknown attribute" messages call a body; `links` is the key of a
    list's links to its neighbours where it is not the plural's.
    """

    type: type[Struct]
    word: str
    wrapper: str
    argument: str
    plural: str
    links: str = ""

    @property
    def links_key(self) -> str:
        """The key that a list has its links under."""
        return self.links or f"{self.plural}_links"
