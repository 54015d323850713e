"""The agent and haproxy die, in every order; what serves goes on or comes back."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from fairlead.agent.home import Home
from fairlead.errors import Retryable
from tests.live_amphora import Clients, Ear, LiveAmphora, members, server

pytestmark = pytest.mark.root


async def test_killed_agent_finds_the_same_haproxy_again(amphora: LiveAmphora) -> None:
    await amphora.boot()
    async with members(1):
        config = amphora.config(server("m1", 9001))
        await amphora.apply(config)
        pids = amphora.haproxy_pid(), amphora.worker()
        async with Clients(keep_alive=True, count=2) as clients:
            amphora.kill()
            status = await amphora.start()
            assert status.revision == config.revision
            assert status.report.healthy
            assert (await amphora.apply(config)).how == "unchanged"
            heavier = amphora.config(server("m1", 9001, weight=99))
            assert (await amphora.apply(heavier)).how == "runtime"
        assert (amphora.haproxy_pid(), amphora.worker()) == pids
        assert not clients.failures


async def test_stopped_agent_leaves_haproxy_running(amphora: LiveAmphora) -> None:
    await amphora.boot()
    await amphora.apply(amphora.config(server("m1", 9001)))
    worker = amphora.worker()
    amphora.kill(signal.SIGTERM)
    assert amphora.worker() == worker


async def test_dead_haproxy_comes_back_and_is_reported_meanwhile(amphora: LiveAmphora) -> None:
    ear = Ear(amphora.secrets.heartbeat_key(amphora.amphora_id))
    try:
        await amphora.boot(ear.target)
        config = amphora.config(server("m1", 9001))
        await amphora.apply(config)
        await ear.until(lambda r: r.healthy and r.revision == config.revision, 3)
        pid = amphora.haproxy_pid()
        os.kill(pid, signal.SIGKILL)
        back = await amphora.until(lambda s: s.revision == config.revision, 5)
        assert amphora.haproxy_pid() != pid
        assert back.report.healthy
    finally:
        ear.close()


async def test_haproxy_that_cannot_start_is_unhealthy(amphora: LiveAmphora) -> None:
    ear = Ear(amphora.secrets.heartbeat_key(amphora.amphora_id))
    try:
        await amphora.boot(ear.target)
        await amphora.apply(amphora.config(server("m1", 9001)))
        amphora.kill()
        worker = amphora.worker()
        os.kill(amphora.haproxy_pid(), signal.SIGKILL)
        await _gone(worker)
        squatter = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 8080)
        status = await amphora.start()
        assert (status.revision, status.report.healthy) == (None, False)
        await ear.until(lambda r: not r.healthy and r.revision is None, 3)
        squatter.close()
        await squatter.wait_closed()
        await ear.until(lambda r: r.healthy and r.revision is not None and r.edge, 8)
    finally:
        ear.close()


async def test_killed_worker_comes_back(amphora: LiveAmphora) -> None:
    await amphora.boot()
    config = amphora.config(server("m1", 9001))
    await amphora.apply(config)
    master = amphora.haproxy_pid()
    os.kill(amphora.worker(), signal.SIGKILL)
    await _gone(master)
    await amphora.until(lambda s: s.revision == config.revision and s.report.healthy, 8)
    assert amphora.worker()


@pytest.mark.parametrize("part", ["worker", "master"])
async def test_haproxy_that_hangs_is_started_anew(amphora: LiveAmphora, part: str) -> None:
    ear = Ear(amphora.secrets.heartbeat_key(amphora.amphora_id))
    try:
        await amphora.boot(ear.target)
        config = amphora.config(server("m1", 9001))
        await amphora.apply(config)
        await ear.until(lambda r: r.healthy and r.revision == config.revision, 3)
        master, worker = amphora.haproxy_pid(), amphora.worker()
        os.kill(worker if part == "worker" else master, signal.SIGSTOP)
        await ear.until(lambda r: not r.healthy and r.revision is None, 20)
        await ear.until(lambda r: r.healthy and r.revision == config.revision, 10)
        assert not Path(f"/proc/{master}").exists()
        assert not Path(f"/proc/{worker}").exists()
        assert amphora.haproxy_pid() != master
    finally:
        ear.close()


async def test_no_revision_is_claimed_of_a_haproxy_that_hangs(amphora: LiveAmphora) -> None:
    await amphora.boot()
    await amphora.apply(amphora.config(server("m1", 9001)))
    worker = amphora.worker()
    amphora.kill()
    os.kill(worker, signal.SIGSTOP)
    try:
        assert (await amphora.start()).revision is None
    finally:
        os.kill(worker, signal.SIGCONT)


async def test_a_full_disk_does_not_end_the_agent(amphora: LiveAmphora) -> None:
    await amphora.boot()
    config = amphora.config(server("m1", 9001))
    await amphora.apply(config)
    assert amphora.agent is not None
    # No file can be written any more: a directory stands where each is written first.
    for name in ("counters.json.tmp", "haproxy.cfg.tmp", "epoch.tmp", "good.json.tmp"):
        (amphora.home / name).mkdir()
    with pytest.raises(Retryable):
        await amphora.apply(amphora.config(server("m1", 9001), epoch=2))
    os.kill(amphora.haproxy_pid(), signal.SIGKILL)
    await asyncio.sleep(12)  # A look that keeps the counters, and a try to start haproxy.
    assert amphora.agent.poll() is None
    assert not (await amphora.status()).report.healthy
    for name in ("counters.json.tmp", "haproxy.cfg.tmp", "epoch.tmp", "good.json.tmp"):
        (amphora.home / name).rmdir()
    await amphora.until(lambda s: s.revision == config.revision, 12)


async def test_haproxy_and_agent_both_die(amphora: LiveAmphora) -> None:
    await amphora.boot()
    config = amphora.config(server("m1", 9001))
    await amphora.apply(config)
    amphora.kill()
    os.kill(amphora.haproxy_pid(), signal.SIGKILL)
    await amphora.start()
    await amphora.until(lambda s: s.revision == config.revision, 5)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.12])
async def test_killed_during_a_change_converges(amphora: LiveAmphora, delay: float) -> None:
    await amphora.boot()
    async with members(2):
        await amphora.apply(amphora.config(server("m1", 9001)))
        extra = "\n    http-request set-header X-A b"
        wanted = amphora.config(server("m1", 9001), server("m2", 9002), extra=extra)
        async with Clients(keep_alive=False, count=2) as clients:
            change = asyncio.create_task(amphora.apply(wanted))
            await asyncio.sleep(delay)
            amphora.kill()
            await asyncio.gather(change, return_exceptions=True)
            claimed = (await amphora.start()).revision
            running = "m2" in amphora.servers_seen()
            assert claimed != wanted.revision or running, "no revision is claimed that is not run"
            await amphora.apply(wanted)
        assert not clients.failures
        assert set(amphora.servers_seen()) == {"m1", "m2"}
        assert (await amphora.status()).revision == wanted.revision
        assert (await amphora.apply(wanted)).how == "unchanged"


async def test_half_done_change_is_not_trusted(amphora: LiveAmphora) -> None:
    await amphora.boot()
    config = amphora.config(server("m1", 9001))
    await amphora.apply(config)
    amphora.kill()
    Home(amphora.home).begin()
    assert (await amphora.start()).revision is None
    assert (await amphora.apply(config)).how == "reload"


async def test_foreign_haproxy_cfg_is_not_trusted(amphora: LiveAmphora) -> None:
    await amphora.boot()
    config = amphora.config(server("m1", 9001))
    await amphora.apply(config)
    amphora.kill()
    (amphora.home / "haproxy.cfg").write_text("# not what was applied\n")
    assert (await amphora.start()).revision is None
    assert (await amphora.apply(config)).how == "reload"


async def test_damaged_state_is_as_good_as_none(amphora: LiveAmphora) -> None:
    await amphora.boot()
    config = amphora.config(server("m1", 9001))
    await amphora.apply(config)
    amphora.kill()
    for name in ("good.json", "epoch", "counters.json"):
        (amphora.home / name).write_text("{")
    assert (await amphora.start()).revision is None
    assert (await amphora.apply(config)).how == "reload"


async def test_everything_written_is_private(amphora: LiveAmphora) -> None:
    await amphora.boot()
    (amphora.home / "boot.json").chmod(0o600)
    await amphora.apply(amphora.config(server("m1", 9001)))
    amphora.kill(signal.SIGTERM)
    open_to_others = [
        str(path)
        for path in amphora.home.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o77
    ]
    assert open_to_others == []
    assert not list(amphora.home.glob("tls*"))
    log = (amphora.directory / "agent.log").read_text()
    assert "PRIVATE KEY" not in log


async def _gone(pid: int) -> None:
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
