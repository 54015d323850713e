"""Calls into code that may block, or never come back.

Each call has a thread of its own that ends with the process: a driver that hangs keeps neither
other work nor the end of the service waiting. Called by provider.py.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def begin(function: Callable[[], Any]) -> "asyncio.Future[Any]":
    """Start it; the future has what it returns, or raises. Cancelling that ends nothing."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def run() -> None:
        result, caught = None, None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - the future carries it to who asked
            caught = RuntimeError("stopped") if isinstance(error, StopIteration) else error
        with suppress(RuntimeError):  # the loop may be closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, caught)

    threading.Thread(target=run, name="provider-driver", daemon=True).start()
    return future
