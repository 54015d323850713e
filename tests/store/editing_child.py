"""A process that edits one load balancer as fast as it can, and says so after each edit.

Arguments: database URL, load balancer id, pool id. It is meant to be killed.
"""

import asyncio
import sys
import uuid
from datetime import UTC, datetime

from fairlead.domain import edits
from fairlead.store import SqlStore


async def edit_on_and_on(url: str, lb_id: str, pool_id: str) -> None:
    store = SqlStore(url)
    await store.start()
    for port in range(1, 65536):
        values = {"pool_id": pool_id, "address": "10.0.0.1", "protocol_port": port}
        member_id = str(uuid.uuid4())
        tree = await store.edit(
            lb_id, edits.add("member", values, new_id=member_id, now=datetime.now(UTC))
        )
        print(tree.generation, member_id, flush=True)


asyncio.run(edit_on_and_on(*sys.argv[1:]))
