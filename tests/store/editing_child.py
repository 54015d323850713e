"""A process that edits one load balancer without end, and says so after each edit.

Arguments: database URL, load balancer id, pool id. It is meant to be killed.
"""

import asyncio
import itertools
import sys
import uuid
from datetime import UTC, datetime

from fairlead.domain import edits
from fairlead.store import SqlStore


async def edit_without_end(url: str, lb_id: str, pool_id: str) -> None:
    store = SqlStore(url)
    await store.start()
    for number in itertools.count():
        values = {"pool_id": pool_id, "address": f"10.0.{number}", "protocol_port": 80}
        member_id = str(uuid.uuid4())
        tree = await store.edit(
            lb_id, edits.add("member", values, new_id=member_id, now=datetime.now(UTC))
        )
        print(tree.generation, member_id, flush=True)


asyncio.run(edit_without_end(*sys.argv[1:]))
