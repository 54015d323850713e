"""Running the programs the agent steers: ip and haproxy -c.

Called by interfaces and haproxy. Every run is bounded in time; a program that hangs is killed.
"""

import asyncio
from asyncio.subprocess import PIPE
from typing import NamedTuple

from fairlead.errors import Retryable


class Outcome(NamedTuple):
    """How a program ended and all it said."""

    status: int
    stdout: str
    stderr: str


async def run(*argv: str, feed: str = "", seconds: float = 10.0) -> Outcome:
    """Run a program with `feed` as its input; `Retryable` when it is missing or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    except OSError as error:
        raise Retryable(f"{argv[0]} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            stdout, stderr = await process.communicate(feed.encode())
    except TimeoutError as error:
        raise Retryable(f"{argv[0]} took longer than {seconds:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(process.returncode or 0, stdout.decode(), stderr.decode(errors="replace"))
