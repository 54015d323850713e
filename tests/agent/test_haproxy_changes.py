"""What a configuration change does to the running haproxy and to its clients."""

import asyncio
import re
import time

import pytest
from msgspec.structs import replace

from fairlead.errors import Fenced, Permanent, Retryable
from tests.live_amphora import BACKEND, LISTENER, Clients, LiveAmphora, members, server, stamped

pytestmark = pytest.mark.root


async def test_first_configuration_starts_haproxy(amphora: LiveAmphora) -> None:
    await amphora.boot()
    assert (await amphora.status()).revision is None
    async with members(1):
        config = amphora.config(server("m1", 9001))
        applied = await amphora.apply(config)
        assert (applied.how, applied.revision) == ("start", config.revision)
        async with Clients(keep_alive=False, count=1) as clients:
            await asyncio.sleep(0.2)
        assert clients.answers["m1"] > 0
        assert not clients.failures
        assert (await amphora.apply(config)).how == "unchanged"
        status = await amphora.status()
        assert status.revision == config.revision
        assert status.report.healthy
        assert [listener.id for listener in status.report.listeners] == [LISTENER]


async def test_weight_and_admin_state_change_without_a_new_worker(amphora: LiveAmphora) -> None:
    await amphora.boot()
    await amphora.apply(amphora.config(server("m1", 9001), server("m2", 9002)))
    worker = amphora.worker()
    changed = amphora.config(server("m1", 9001, weight=77), server("m2", 9002, enabled=False))
    begin = time.monotonic()
    assert (await amphora.apply(changed)).how == "runtime"
    took = time.monotonic() - begin
    assert amphora.worker() == worker
    seen = amphora.servers_seen()
    assert seen["m1"][1] == 77
    assert seen["m2"][0] == "MAINT"
    assert (amphora.home / "haproxy.cfg").read_text() == changed.haproxy_cfg
    checked_last = (amphora.home / "haproxy.cfg.new").read_text()
    assert checked_last != changed.haproxy_cfg, "haproxy -c says nothing new about a weight"
    assert took < 1.0
    back = amphora.config(server("m1", 9001, weight=0), server("m2", 9002))
    assert (await amphora.apply(back)).how == "runtime"
    states = {m.id: m.state for m in (await amphora.status()).report.members}
    assert states["m1"] in ("DRAIN", "DOWN")
    assert amphora.servers_seen()["m2"][0] != "MAINT"


async def test_members_come_and_go_without_a_new_worker(amphora: LiveAmphora) -> None:
    await amphora.boot()
    async with members(3), Clients(keep_alive=False, count=2) as clients:
        await asyncio.sleep(0)
        await amphora.apply(amphora.config(server("m1", 9001)))
        await asyncio.sleep(0.1)
        clients.failures.clear()  # those from before haproxy ran
        worker = amphora.worker()
        grown = amphora.config(server("m1", 9001), server("m2", 9002), server("m3", 9003, weight=0))
        assert (await amphora.apply(grown)).how == "runtime"
        await asyncio.sleep(0.3)
        assert clients.answers["m2"] > 0
        assert clients.answers["m3"] == 0
        assert amphora.worker() == worker
    async with members(3):
        assert (await amphora.apply(amphora.config(server("m2", 9002)))).how == "runtime"
    assert set(amphora.servers_seen()) == {"m2"}
    assert amphora.worker() == worker
    assert not clients.failures


async def test_checks_of_added_members_work(amphora: LiveAmphora) -> None:
    await amphora.boot()
    async with members(1):
        await amphora.apply(amphora.config(server("m1", 9001)))
        both = amphora.config(server("m1", 9001), server("dead", 9009))
        assert (await amphora.apply(both)).how == "runtime"
        await amphora.until(
            lambda s: {m.id: m.state for m in s.report.members} == {"m1": "UP", "dead": "DOWN"}, 5
        )


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_reloads_under_load_lose_nothing(amphora: LiveAmphora, keep_alive: bool) -> None:
    await amphora.boot()
    async with members(2):
        servers = server("m1", 9001), server("m2", 9002)
        await amphora.apply(amphora.config(*servers))
        async with Clients(keep_alive=keep_alive) as clients:
            for number in range(10):
                extra = f"\n    http-request set-header X-Number {number}"
                assert (await amphora.apply(amphora.config(*servers, extra=extra))).how == "reload"
                await asyncio.sleep(0.1)
        assert not clients.failures
        assert clients.answers.total() > 200


async def test_removing_a_busy_member_under_load_loses_nothing(amphora: LiveAmphora) -> None:
    await amphora.boot()
    async with members(2):
        await amphora.apply(amphora.config(server("m1", 9001), server("m2", 9002)))
        async with Clients(keep_alive=True) as clients:
            for _ in range(5):
                assert (await amphora.apply(amphora.config(server("m1", 9001)))).how != "unchanged"
                await asyncio.sleep(0.1)
                before = clients.answers["m2"]
                await asyncio.sleep(0.1)
                assert clients.answers["m2"] == before
                await amphora.apply(amphora.config(server("m1", 9001), server("m2", 9002)))
                await asyncio.sleep(0.1)
        assert not clients.failures


async def test_health_survives_a_reload_but_old_settings_do_not(amphora: LiveAmphora) -> None:
    await amphora.boot()
    async with members(1):
        servers = [server("m1", 9001), server("dead", 9009), server("off", 9001, enabled=False)]
        await amphora.apply(amphora.config(*servers))
        await amphora.until(lambda s: "DOWN" in {m.state for m in s.report.members}, 5)
        servers[0] = server("m1", 9001, weight=33)
        servers[2] = server("off", 9001, weight=5)
        extra = "\n    http-request set-header X-A b"
        assert (await amphora.apply(amphora.config(*servers, extra=extra))).how == "reload"
        seen = amphora.servers_seen()
        assert seen["dead"][0] == "DOWN"
        assert seen["m1"] == ("UP", 33)
        assert seen["off"][0].startswith("UP")
        assert seen["off"][1] == 5


async def test_wrong_configuration_changes_nothing_and_names_the_line(amphora: LiveAmphora) -> None:
    await amphora.boot()
    good = amphora.config(server("m1", 9001))
    await amphora.apply(good)
    worker = amphora.worker()
    bad = amphora.config(server("m1", 9001), extra="\n    no-such-keyword here")
    number = bad.haproxy_cfg.splitlines().index("    no-such-keyword here") + 1
    with pytest.raises(Permanent, match=rf"line {number}: unknown keyword 'no-such-keyword'") as it:
        await amphora.apply(bad)
    assert str(amphora.home) not in str(it.value)
    assert (await amphora.status()).revision == good.revision
    assert amphora.worker() == worker
    assert (amphora.home / "haproxy.cfg").read_text() == good.haproxy_cfg


async def test_reload_that_cannot_bind_keeps_the_old_workers(amphora: LiveAmphora) -> None:
    await amphora.boot()
    async with members(1):
        good = amphora.config(server("m1", 9001))
        await amphora.apply(good)
        worker = amphora.worker()
        with pytest.raises(Retryable, match=r"cannot bind.*198\.51\.100\.7:8080"):
            await amphora.apply(amphora.config(server("m1", 9001), bind="198.51.100.7:8080"))
        assert amphora.worker() == worker
        status = await amphora.status()
        assert (status.revision, status.report.healthy) == (good.revision, True)
        async with Clients(keep_alive=False, count=1) as clients:
            await asyncio.sleep(0.2)
        assert clients.answers["m1"] > 0
        assert not clients.failures
        wider = amphora.config(server("m1", 9001), extra="\n    http-request set-header X-A b")
        assert (await amphora.apply(wider)).how == "reload"


async def test_older_epoch_is_fenced_also_after_a_restart(amphora: LiveAmphora) -> None:
    await amphora.boot()
    await amphora.apply(amphora.config(server("m1", 9001), epoch=7))
    for _ in range(2):
        with pytest.raises(Fenced):
            await amphora.apply(amphora.config(server("m1", 9001, weight=1), epoch=6))
        amphora.kill()
        await amphora.start()
    assert (await amphora.apply(amphora.config(server("m1", 9001), epoch=8))).how == "unchanged"


async def test_no_listener_stops_haproxy(amphora: LiveAmphora) -> None:
    await amphora.boot()
    full = amphora.config(server("m1", 9001))
    await amphora.apply(full)
    empty = stamped(replace(full, haproxy_cfg="", skeleton="", servers=()))
    await amphora.apply(empty)
    status = await amphora.status()
    assert (status.revision, status.report.healthy) == (empty.revision, True)
    assert status.report.listeners == ()
    assert not (amphora.home / "haproxy.cfg").exists()
    assert (await amphora.apply(full)).how == "start"


async def test_totals_never_shrink(amphora: LiveAmphora) -> None:
    await amphora.boot()
    highest = 0
    async with members(1), Clients(keep_alive=True) as clients:
        for number in range(4):
            extra = f"\n    http-request set-header X-Number {number}"
            await amphora.apply(amphora.config(server("m1", 9001), extra=extra))
            for _ in range(3):
                await asyncio.sleep(0.1)
                [listener] = (await amphora.status()).report.listeners
                assert listener.counters.bytes_out >= highest
                highest = listener.counters.bytes_out
            if number == 2:
                amphora.kill()
                await amphora.start()
    await asyncio.sleep(1.2)
    [listener] = (await amphora.status()).report.listeners
    seen = int(re.findall(rf"^{LISTENER},FRONTEND,.*", amphora.ask_haproxy("@1 show stat"),
                          re.MULTILINE)[0].split(",")[9])  # fmt: skip
    assert listener.counters.bytes_out > seen, "what ended workers carried is in the total"
    answered = clients.answers.total() * len("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nm1")
    assert listener.counters.bytes_out > 0.8 * answered


async def test_backend_name_is_split_into_pool_and_listener(amphora: LiveAmphora) -> None:
    await amphora.boot()
    await amphora.apply(amphora.config(server("m1", 9001)))
    [member] = (await amphora.status()).report.members
    assert (member.pool_id, member.id) == (BACKEND.partition(":")[0], "m1")
