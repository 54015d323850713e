"""The query string: names to values, each name with the rule of how often it may come."""

from urllib.parse import parse_qsl

from msgspec import Struct

from fairlead.errors import Refused

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class Parameters(Struct, frozen=True):
    """Decoded name and value pairs, in the order they came."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, query_string: bytes) -> "Parameters":
        """Parse; undecodable bytes become replacement characters."""
        text = query_string.decode("latin-1")
        return cls(tuple(parse_qsl(text, keep_blank_values=True)) if text else ())

    def one(self, name: str) -> str | None:
        """The value of a parameter that may come once; `Refused` when it comes again."""
        found = [value for key, value in self.pairs if key == name]
        if len(found) > 1:
            raise Refused(f"One or more arguments are either duplicate or invalid: {name}")
        return found[0] if found else None

    def many(self, name: str) -> tuple[str, ...]:
        """The values of a parameter that may be repeated or hold a comma-separated list."""
        return tuple(
            part for key, value in self.pairs if key == name
            for part in value.split(",") if part
        )  # fmt: skip

    def flag(self, name: str) -> bool:
        """A yes-or-no parameter; missing is no."""
        given = self.one(name)
        word = (given or "false").strip().lower()
        if word not in _TRUE | _FALSE:
            raise Refused(f"Invalid input for field/attribute {name}. Value: '{word[:100]}'. "
                          "Value should be true or false.")  # fmt: skip
        return word in _TRUE
