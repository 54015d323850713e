"""The documents keep to the code: the table of settings, and every path they name."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

from fairlead import settings
from fairlead.domain.types import describe
from fairlead.settings import Settings

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "operator-guide.md"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
START = "<!-- settings: a test compares this table with fairlead/settings.py -->\n"
END = "<!-- end of settings -->"


def sentences() -> dict[tuple[str, str], str]:
    """What settings.py says below each field, by class and field."""
    found = {}
    for node in ast.parse(Path(settings.__file__).read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, said in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Expr):
                assert isinstance(field.target, ast.Name)
                text = ast.literal_eval(said.value)
                found[node.name, field.target.id] = " ".join(text.split())
    return found


def meaning(group: type[msgspec.Struct], name: str) -> str:
    """What a setting is for, in the words of its declaration."""
    declared = describe(group)
    return declared[name].description if declared else sentences()[group.__name__, name]


def table() -> str:
    said = sentences()
    rows = ["| Setting | Default | Meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(Settings):
        value = getattr(Settings(), field.name)
        if isinstance(value, msgspec.Struct):
            rows += [
                row(f"[{field.name}] {one}", getattr(value, one), meaning(type(value), one))
                for one in value.__struct_fields__
            ]
        else:
            rows.append(row(field.name, value, said["Settings", field.name]))
    return "\n".join(rows) + "\n"


def row(name: str, value: object, meaning: str) -> str:
    default = "none" if value is None else f"`{msgspec.json.encode(value).decode()}`"
    return f"| `{name}` | {default} | {meaning} |"


def test_the_operator_guide_has_every_setting_as_it_is() -> None:
    text = GUIDE.read_text()
    written = text[text.index(START) + len(START) : text.index(END)]
    assert written == table(), f"put this into {GUIDE}:\n{table()}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_to_exists(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"
    for path in re.findall(r"`((?:fairlead|tests|docs|scripts)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
