"""Pure: what crosses a process boundary."""
