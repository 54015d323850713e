"""Opening what a user stored, in a process of its own that may use little time and memory.

How long a key takes to open is up to whoever locked it, and the library lets nothing else of the
process run meanwhile. Run as a program by `opened`: the material goes in and the bundle comes out
by pipes, and nothing of either is anywhere else.
"""

import asyncio
import hashlib
import os
import resource
import sys
from collections import OrderedDict
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from fairlead.drivers.vault_references import bundles
from fairlead.errors import Refused
from fairlead.ports import Bundle

_CPU_SECONDS, _WAIT_SECONDS = 3, 20
_MEMORY = 1024 * 1024 * 1024
_AT_ONCE, _REMEMBERED = 2, 256


class Asked(Struct):
    """What to open; `payload` is one secret's, `parts` are a container's."""

    reference: str
    payload: bytes | None = None
    parts: dict[str, bytes] | None = None


class Answer(Struct):
    """What it is, or what is wrong with it."""

    bundle: Bundle | None = None
    refused: str = ""


class Opener:
    """Opens few at a time; the others wait for their turn.

    The last ones opened are remembered by a digest of what they were made from: the controller
    asks for the same again and again, and each time costs a process.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._known: OrderedDict[bytes, Bundle] = OrderedDict()

    async def opened(self, reference: str, found: bytes | Mapping[str, bytes]) -> Bundle:
        """As `bundles.bundle`; `Refused` also when it takes too much time or memory."""
        asked = Asked(reference)
        if isinstance(found, bytes):
            asked.payload = found
        else:
            asked.parts = dict(found)
        question = msgspec.json.encode(asked)
        digest = hashlib.sha256(question).digest()
        bundle = self._known.pop(digest, None) or await self._open(reference, question)
        self._known[digest] = bundle
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return bundle

    async def _open(self, reference: str, question: bytes) -> Bundle:
        async with self._turns:
            said = await _child(question)
        if said is None:
            raise Refused(f"The private key takes too much to be opened: ['{reference}']")
        answer = msgspec.json.decode(said, type=Answer)
        if answer.bundle is None:
            raise Refused(answer.refused)
        return answer.bundle


async def _child(question: bytes) -> bytes | None:
    """What the program says; None when it was ended."""
    places = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, env=places,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(question), _WAIT_SECONDS)
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said if process.returncode == 0 else None


def main() -> None:
    """Answer one question."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    try:
        found = asked.payload or b"" if asked.parts is None else asked.parts
        answer = Answer(bundles.bundle(asked.reference, found))
    except Refused as error:
        answer = Answer(refused=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
