"""Reading an operator's policy file, strictly.

oslo.policy turns what it cannot read into "never", says so in its log, and finds some faults only
when a rule is asked. Here a file is whole or `Refused`: every rule can be read, is made of rules
that exist and not of itself, and asks no other service, which would hold up every request. Called
by policy.py.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from oslo_policy import policy as oslo

from fairlead.errors import Refused

Rules = Mapping[str, Any]
_SAMPLE = {"project_id": "p", "tenant_id": "p"}
_CALLER: dict[str, Any] = {"roles": ["reader"], "project_id": "p"}

# oslo.policy says what is wrong in its log alone: `_complaints` listens, elsewhere it is silent.
_said = logging.getLogger("oslo_policy")
_said.propagate = False
_said.addHandler(logging.NullHandler())


def over(rules: Rules, file: Path) -> dict[str, Any]:
    """The rules with those of the file before them; `Refused` names the file and what is wrong."""
    try:
        together = {**rules, **_parsed(_content(file))}
        for name in together:
            _check_whole(name, together, ())
        return together
    except ValueError as error:
        raise Refused(f"The policy file {file}: {error}.") from None


def _content(file: Path) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise ValueError(error.strerror) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not isinstance(content, dict | None):
        raise ValueError("it should be names with rules")
    return content or {}


def _parsed(content: Mapping[Any, Any]) -> dict[str, Any]:
    parsed = {}
    for name, text in content.items():
        if not isinstance(text, str | list):
            raise ValueError(f"rule '{name}' should be text")
        rule: Any = text  # of lists in its oldest form
        with _complaints() as complaints:
            parsed[str(name)] = oslo.Rules.from_dict({name: rule})[name]
        if complaints:
            raise ValueError(f"rule '{name}' cannot be read: '{text}'")
    return parsed


def _check_whole(name: str, rules: Rules, above: tuple[str, ...]) -> None:
    """`ValueError` unless a rule is whole, with all that it builds on."""
    if name in above:
        raise ValueError(f"rule '{name}' refers to itself")
    for leaf in _leaves(rules[name]):
        if isinstance(leaf, oslo.RuleCheck):
            if leaf.match not in rules:
                raise ValueError(f"rule '{name}' refers to '{leaf.match}', which is not defined")
            _check_whole(leaf.match, rules, (*above, name))
            continue
        if getattr(leaf, "kind", "") in ("http", "https"):
            raise ValueError(f"rule '{name}' asks another service, which is not supported")
        try:
            leaf(_SAMPLE, _CALLER, None)
        except (ValueError, TypeError, SyntaxError) as error:
            raise ValueError(f"rule '{name}' cannot be judged: {error}") from None


def _leaves(check: Any) -> Iterator[Any]:
    below = [check.rule] if isinstance(check, oslo.NotCheck) else getattr(check, "rules", None)
    if below is None:
        yield check
    for one in below or ():
        yield from _leaves(one)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What oslo.policy has to say meanwhile."""
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]  # a class for one line
    _said.addHandler(handler)
    try:
        yield heard
    finally:
        _said.removeHandler(handler)
