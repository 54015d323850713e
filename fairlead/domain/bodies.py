"""From a request body to checked values, by the resource's declaration.

PURE. `creation` and `changes` give a dict of field values: known names only, typed, within
bounds, normalised. Null gives the default, a missing field is left out of changes. Every refusal
names the field and the rule. Whether values fit each other and the tree is for rules.py.
"""

import re
from functools import cache
from typing import Any, get_type_hints

import msgspec

from fairlead.domain.catalog import NAMED
from fairlead.domain.model import KINDS
from fairlead.domain.types import Access, Field, describe
from fairlead.errors import Refused

_PLACE = re.compile(r"^(?P<rule>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_IGNORED_AT_CREATION = frozenset({"project_id", "tenant_id"})


def creation(kind: str, body: Any) -> dict[str, Any]:
    """Values for a new object; a child's project_id is ignored, as it is its parent's."""
    given = _aliased(kind, body)
    if kind in KINDS and kind != "loadbalancer":
        given = {k: v for k, v in given.items() if k not in _IGNORED_AT_CREATION}
    fields = _settable(kind, Access.CREATE)
    _known(kind, given, fields)
    missing = [f.name for f in fields.values() if f.trait.required and given.get(f.name) is None]
    if missing:
        raise Refused(f"Invalid input for field/attribute {missing[0]}. Value: 'None'. "
                      "Mandatory field missing.")  # fmt: skip
    return _checked(given, fields)


def changes(kind: str, body: Any) -> dict[str, Any]:
    """Values of an update; null restores a field's default or is refused."""
    given = _aliased(kind, body)
    fields = _settable(kind, Access.WRITE)
    _known(kind, given, fields)
    return _checked(given, fields)


def refused(name: str, value: object, rule: str) -> Refused:
    """The error that names a field, its value and the rule it breaks."""
    shown = str(value)
    shown = shown if len(shown) <= 100 else shown[:100] + "..."
    return Refused(f"Invalid input for field/attribute {name}. Value: '{shown}'. {rule}")


def settable(kind: str, *, at_creation: bool) -> dict[str, Field]:
    """Fields a user may set at creation, or in an update."""
    return _settable(kind, Access.CREATE if at_creation else Access.WRITE)


@cache
def _settable(kind: str, access: Access) -> dict[str, Field]:
    allowed = {Access.WRITE, access}
    return {n: f for n, f in describe(NAMED[kind].type).items() if f.trait.access in allowed}


def _aliased(kind: str, body: Any) -> dict[str, Any]:
    """The body as a dict of its own, with tenant_id under its newer name."""
    if not isinstance(body, dict):
        raise Refused(f"Invalid input for field/attribute {NAMED[kind].wrapper}. "
                      f"Value: '{str(body)[:100]}'. Value should be an object.")  # fmt: skip
    given = dict(body)
    if kind == "loadbalancer" and "tenant_id" in given:
        tenant = given.pop("tenant_id")
        given["project_id"] = given.get("project_id") or tenant
    return given


def _known(kind: str, given: dict[str, Any], fields: dict[str, Field]) -> None:
    unknown = next((name for name in given if name not in fields), None)
    if unknown is not None:
        argument = f"{NAMED[kind].argument}.{NAMED[kind].wrapper}"
        raise Refused(f"Unknown attribute for argument {argument}: {unknown}")


def _checked(given: dict[str, Any], fields: dict[str, Field]) -> dict[str, Any]:
    return {name: converted(fields[name], value) for name, value in given.items()}


def converted(field: Field, value: Any) -> Any:
    """The value of a field as its type, or `Refused`; null is the default where that is allowed."""
    if value is None and not field.trait.nullable:
        raise refused(field.name, None, "None is not a valid option for this field.")
    if value is None:
        return False if field.name == "admin_state_up" else field.default
    try:
        typed = msgspec.convert(_spelled(value), field.type, strict=False)
        return typed if typed is None or not field.trait.check else field.trait.check(typed)
    except msgspec.ValidationError as error:
        raise _explained(field, value, error) from None
    except ValueError as error:
        raise refused(field.name, value, f"{error}.") from None


def _spelled(value: Any) -> Any:
    """Accepts UDP_CONNECT, an older document's spelling, for UDP-CONNECT."""
    return "UDP-CONNECT" if value == "UDP_CONNECT" else value


def _explained(field: Field, value: Any, error: msgspec.ValidationError) -> Refused:
    match = _PLACE.match(str(error))
    rule, path = (match["rule"], match["path"]) if match else (str(error), None)
    if rule.startswith("Invalid enum value"):
        allowed = choices(_part(field.type, path))
        rule = f"Value should be one of: {', '.join(map(str, allowed))}"
    if path:
        rule = f"{rule} (at {path})"
    return refused(field.name, value, rule if rule.endswith(".") else f"{rule}.")


def _part(hint: Any, path: str | None) -> Any:
    """The type of a struct's attribute, for values that are objects; else the type itself."""
    for part in (hint, *getattr(hint, "__args__", ())):
        if path and isinstance(part, type) and issubclass(part, msgspec.Struct):
            return get_type_hints(part).get(path, hint)
    return hint


def choices(hint: Any) -> tuple[Any, ...]:
    """The values a Literal type allows, also inside a union."""
    found: list[Any] = []
    for argument in getattr(hint, "__args__", ()):
        if isinstance(argument, str | int):
            found.append(argument)
        else:
            found.extend(choices(argument))
    return tuple(found)
