"""What the demo shows: steps with check marks, and below them a live table of the traffic.

On a terminal the table stays at the bottom and moves; elsewhere every step is a plain line and
the traffic is summed up after it. Called by the story.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fairlead.cli.demo.traffic import Traffic

Row = tuple[str, str, str]


class Screen:
    """Steps above, traffic below. `members` are (name, status, weight) as the API says."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._started = time.monotonic()
        self.traffic: Traffic | None = None
        self.balancer = ""
        self.members: list[Row] = []

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While this lasts the table is live, if this is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            console=self._console, get_renderable=self._table, refresh_per_second=8, transient=True
        ) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def done(self, text: str) -> None:
        """A step that worked, with what was measured in it."""
        self._print("✔ ", "green", text)
        if self._live is None and self.traffic is not None:
            self._print("", "", f"    {self._summary(self.traffic)}")

    def failed(self, text: str) -> None:
        """The step that did not work."""
        self._print("✘ ", "red", text)

    def say(self, text: str) -> None:
        """A line without a mark."""
        self._print("  ", "", text)

    def _print(self, mark: str, style: str, text: str) -> None:
        """What goes to a file keeps its lines; what goes to a terminal is wrapped by words."""
        self._console.print(
            Text.assemble((mark, style), text), soft_wrap=not self._console.is_terminal
        )

    def _summary(self, traffic: Traffic) -> str:
        rates = traffic.rates()
        shares = ", ".join(f"{name} {status} {rates[name]}/s" for name, status, _ in self.members)
        return f"{rates.total()} requests/s, {traffic.failures} failed; {shares}"

    def _table(self) -> RenderableType:
        if self.traffic is None:
            return ""
        table = Table(title=self._heading(), title_justify="left", min_width=66)
        for heading in ("Server", "Member", "Weight", "Requests/s", "Requests"):
            right = heading in ("Weight", "Requests/s", "Requests")
            table.add_column(heading, justify="right" if right else "left")
        traffic, rates = self.traffic, self.traffic.rates()
        for name, status, weight in self.members:
            colour = _COLOURS.get(status, "yellow")
            row = (name, f"[{colour}]{status}[/]", weight)
            table.add_row(*row, str(rates[name]), str(traffic.answers[name]))
        table.add_section()
        table.add_row(
            "load balancer", self.balancer, "", str(rates.total()), str(traffic.answers.total())
        )
        style = "red" if traffic.failures else "green"
        table.add_row("failed", "", "", "", f"[{style}]{traffic.failures}[/]")
        return table

    def _heading(self) -> str:
        return f"Traffic through the VIP ({time.monotonic() - self._started:.0f} s)"


_COLOURS = {"ONLINE": "green", "ERROR": "red"}
