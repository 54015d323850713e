"""Tables of figures, on the screen and in RESULTS.md."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Rows under a heading; cells are text already."""

    heading: Sequence[str]
    rows: Sequence[Sequence[str]]

    def lines(self) -> list[str]:
        """The table in Markdown, in columns that also read well as plain text."""
        everything = [self.heading, *self.rows]
        widths = [max(len(row[i]) for row in everything) for i in range(len(self.heading))]
        ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return [
            "| " + " | ".join(_aligned(cell, widths[i], i) for i, cell in enumerate(row)) + " |"
            for row in (self.heading, ruler, *self.rows)
        ]


@dataclass(frozen=True)
class Chapter:
    """What was measured, how, and what came out; `aims` are (text, whether it was reached)."""

    title: str
    method: str
    tables: Sequence[Table]
    aims: Sequence[tuple[str, bool]] = field(default=())

    def text(self) -> str:
        """The chapter in Markdown."""
        parts = [f"## {self.title}", self.method]
        parts += ["\n".join(table.lines()) for table in self.tables]
        if self.aims:
            parts.append("\n".join(f"- {'Met' if met else 'MISSED'}: {t}" for t, met in self.aims))
        return "\n\n".join(parts)


def median_and_p90(values: Sequence[float], digits: int = 0) -> tuple[str, str]:
    """Both as text; the 90th percentile is a value that was measured."""
    ordered = sorted(values)
    p90 = ordered[min(len(ordered) - 1, -(-9 * len(ordered) // 10) - 1)]
    return f"{statistics.median(values):.{digits}f}", f"{p90:.{digits}f}"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)
