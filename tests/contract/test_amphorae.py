"""The contract of `ports.Amphorae`: whoever stands for an amphora's agent keeps it.

`Agents` is what a world must offer beside the port: an amphora that listens, a way to silence it
and configurations that its checks accept or refuse.
"""

import asyncio
import os
import ssl
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from fake_rig import FakeRig
from msgspec.structs import asdict, replace

from fairlead.drivers.amphora_rest import AmphoraRest
from fairlead.drivers.fake import FakeAmphorae, FakeMachine, FakeSecrets
from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.errors import Fenced, Permanent, Retryable
from fairlead.ports import Amphorae
from fairlead.wire.amphora import AmphoraConfig, File, Rejected, Renewal, revision_of
from tests.live_amphora import ADDRESS, LiveAmphora, Now, live_amphora, server


class Agents(Protocol):
    port: Amphorae
    amphora_id: str
    address: str

    def good(self, number: int, *, epoch: int = 1) -> AmphoraConfig:
        """A configuration; another `number`, another revision."""
        ...

    def bad(self, *, epoch: int = 1) -> AmphoraConfig:
        """A configuration that the check refuses."""
        ...

    def silence(self) -> None:
        """From here on the agent does not answer."""
        ...

    async def renewal(self, *, epoch: int = 1, days: int = 30) -> Renewal:
        """A new certificate for the agent."""
        ...


class RealAgents:
    """`AmphoraRest` with a real agent and a real haproxy."""

    def __init__(self, amphora: LiveAmphora) -> None:
        self._amphora = amphora
        self.port: Amphorae = amphora.rest
        self.amphora_id = amphora.amphora_id
        self.address = ADDRESS

    def good(self, number: int, *, epoch: int = 1) -> AmphoraConfig:
        return self._amphora.config(server("m1", 9001, weight=number), epoch=epoch)

    def bad(self, *, epoch: int = 1) -> AmphoraConfig:
        return self._amphora.config(server("m1", 9001), epoch=epoch, extra="\n    nonsense here")

    def silence(self) -> None:
        self._amphora.kill()

    async def renewal(self, *, epoch: int = 1, days: int = 30) -> Renewal:
        return await self._amphora.renewal(epoch=epoch, days=days)


class FakeAgents:
    """`FakeAmphorae` with a machine in its world."""

    address = "192.0.2.5"

    def __init__(self) -> None:
        rig = FakeRig()
        spec = rig.spec()
        self._world = rig.world
        self.port: Amphorae = FakeAmphorae(rig.world)
        self.amphora_id = spec.boot.amphora_id
        rig.world.machines[self.amphora_id] = FakeMachine(spec, "life")
        rig.world.refused_words = {"nonsense"}

    def good(self, number: int, *, epoch: int = 1) -> AmphoraConfig:
        return self._config(f"weight {number}", epoch)

    def bad(self, *, epoch: int = 1) -> AmphoraConfig:
        return self._config("nonsense here", epoch)

    def silence(self) -> None:
        self._world.stop(self.amphora_id)

    async def renewal(self, *, epoch: int = 1, days: int = 30) -> Renewal:
        issued = await FakeSecrets(life=timedelta(days=days)).issue(self.amphora_id, self.address)
        return Renewal(epoch=epoch, **asdict(issued))

    def _config(self, text: str, epoch: int) -> AmphoraConfig:
        config = AmphoraConfig(
            epoch=epoch, revision="", haproxy_cfg=text, skeleton="", servers=(), interfaces=()
        )
        return replace(config, revision=revision_of(config))


@pytest.fixture
async def real_agents(own_network: None) -> AsyncIterator[Agents]:
    async with live_amphora() as amphora:
        await amphora.boot()
        yield RealAgents(amphora)


@pytest.fixture
def fake_agents() -> Agents:
    return FakeAgents()


@pytest.fixture(
    params=[
        pytest.param("real_agents", id="agent", marks=pytest.mark.root),
        pytest.param("fake_agents", id="fake"),
    ]
)
def agents(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


async def test_fresh_agent_has_nothing(agents: Agents) -> None:
    status = await agents.port.status(agents.amphora_id, agents.address)
    assert (status.amphora_id, status.revision) == (agents.amphora_id, None)
    assert status.report.amphora_id == agents.amphora_id


async def test_configuration_is_in_force_and_repeating_it_is_nothing(agents: Agents) -> None:
    for number in (1, 2):
        config = agents.good(number)
        applied = await agents.port.configure(agents.amphora_id, agents.address, config)
        assert applied.revision == config.revision
        assert applied.how != "unchanged"
        status = await agents.port.status(agents.amphora_id, agents.address)
        assert status.revision == config.revision
        assert status.report.revision == config.revision
        again = await agents.port.configure(agents.amphora_id, agents.address, config)
        assert again.how == "unchanged"


def with_file(config: AmphoraConfig, content: str | None) -> AmphoraConfig:
    """The configuration with a file beside it, read from a place called "text there"."""
    file = File(name="0123.pem", content=content)
    held = replace(config, files=(file,), sources={"text there": file.name})
    return replace(held, revision=revision_of(held))


async def test_a_file_is_sent_once_and_held_while_it_is_named(agents: Agents) -> None:
    unseen = with_file(agents.good(1), None)
    with pytest.raises(Retryable):
        await agents.port.configure(agents.amphora_id, agents.address, unseen)
    first = with_file(agents.good(1), "secret")
    assert first.revision == unseen.revision
    await agents.port.configure(agents.amphora_id, agents.address, first)
    assert (await agents.port.status(agents.amphora_id, agents.address)).held == first.sources
    second = with_file(agents.good(2), None)
    applied = await agents.port.configure(agents.amphora_id, agents.address, second)
    assert applied.revision == second.revision
    await agents.port.configure(agents.amphora_id, agents.address, agents.good(3))
    assert (await agents.port.status(agents.amphora_id, agents.address)).held == {}
    with pytest.raises(Retryable):
        await agents.port.configure(agents.amphora_id, agents.address, second)


async def test_sequence_grows(agents: Agents) -> None:
    first = await agents.port.status(agents.amphora_id, agents.address)
    second = await agents.port.status(agents.amphora_id, agents.address)
    assert second.report.sequence > first.report.sequence
    assert second.report.boot == first.report.boot


async def test_refused_configuration_is_permanent_and_changes_nothing(agents: Agents) -> None:
    good = agents.good(1)
    await agents.port.configure(agents.amphora_id, agents.address, good)
    with pytest.raises(Permanent):
        await agents.port.configure(agents.amphora_id, agents.address, agents.bad())
    status = await agents.port.status(agents.amphora_id, agents.address)
    assert status.revision == good.revision


async def test_older_epoch_is_fenced_and_an_equal_one_is_not(agents: Agents) -> None:
    current = agents.good(1, epoch=5)
    await agents.port.configure(agents.amphora_id, agents.address, current)
    with pytest.raises(Fenced):
        await agents.port.configure(agents.amphora_id, agents.address, agents.good(2, epoch=4))
    status = await agents.port.status(agents.amphora_id, agents.address)
    assert status.revision == current.revision
    await agents.port.configure(agents.amphora_id, agents.address, agents.good(2, epoch=5))


async def test_refused_configuration_still_fences(agents: Agents) -> None:
    with pytest.raises(Permanent):
        await agents.port.configure(agents.amphora_id, agents.address, agents.bad(epoch=9))
    with pytest.raises(Fenced):
        await agents.port.configure(agents.amphora_id, agents.address, agents.good(1, epoch=8))


async def test_silence_is_retryable_and_names_the_amphora(agents: Agents) -> None:
    agents.silence()
    with pytest.raises(Retryable, match=agents.amphora_id):
        await agents.port.status(agents.amphora_id, agents.address)
    with pytest.raises(Retryable, match=agents.amphora_id):
        await agents.port.configure(agents.amphora_id, agents.address, agents.good(1))
    with pytest.raises(Retryable, match=agents.amphora_id):
        await agents.port.renew(agents.amphora_id, agents.address, await agents.renewal())


async def test_a_new_certificate_is_in_force_and_all_else_stays(agents: Agents) -> None:
    config = agents.good(1)
    await agents.port.configure(agents.amphora_id, agents.address, config)
    for days in (30, 60):
        renewal = await agents.renewal(days=days)
        assert await agents.port.renew(agents.amphora_id, agents.address, renewal)
        status = await agents.port.status(agents.amphora_id, agents.address)
        assert (status.not_after, status.revision) == (renewal.not_after, config.revision)
        assert await agents.port.renew(agents.amphora_id, agents.address, renewal)


async def test_what_is_no_certificate_is_refused_and_changes_nothing(agents: Agents) -> None:
    good = await agents.renewal()
    await agents.port.renew(agents.amphora_id, agents.address, good)
    for wrong in ("nonsense", ""):
        with pytest.raises(Permanent, match="certificate"):
            await agents.port.renew(
                agents.amphora_id, agents.address, replace(good, certificate=wrong)
            )
    status = await agents.port.status(agents.amphora_id, agents.address)
    assert status.not_after == good.not_after


async def test_a_certificate_of_an_older_epoch_is_fenced(agents: Agents) -> None:
    await agents.port.configure(agents.amphora_id, agents.address, agents.good(1, epoch=5))
    before = await agents.port.status(agents.amphora_id, agents.address)
    with pytest.raises(Fenced):
        await agents.port.renew(agents.amphora_id, agents.address, await agents.renewal(epoch=4))
    status = await agents.port.status(agents.amphora_id, agents.address)
    assert status.not_after == before.not_after
    renewal = await agents.renewal(epoch=5)
    assert await agents.port.renew(agents.amphora_id, agents.address, renewal)


async def test_changes_at_once_all_end_and_one_is_in_force(agents: Agents) -> None:
    configs = [agents.good(number) for number in range(1, 5)]
    await asyncio.gather(
        *(agents.port.configure(agents.amphora_id, agents.address, config) for config in configs)
    )
    status = await agents.port.status(agents.amphora_id, agents.address)
    assert status.revision in {config.revision for config in configs}


@pytest.mark.root
class TestAmphoraRest:
    """What only the real driver can get wrong."""

    @pytest.fixture
    def agents(self, real_agents: Agents) -> Agents:
        return real_agents

    async def test_another_amphora_at_the_address_is_not_configured(self, agents: Agents) -> None:
        other = str(uuid.uuid4())
        with pytest.raises(Retryable, match=f"{other}: the Host header does not name"):
            await agents.port.configure(other, agents.address, agents.good(1))
        with pytest.raises(Retryable, match=f"{other}: the Host header does not name"):
            await agents.port.status(other, agents.address)
        status = await agents.port.status(agents.amphora_id, agents.address)
        assert status.revision is None

    async def test_what_the_agent_cannot_take_is_permanent_and_says_why(
        self, agents: Agents
    ) -> None:
        large = replace(agents.good(1), haproxy_cfg=" " * (16 << 20))
        with pytest.raises(Permanent, match="the body is larger than"):
            await agents.port.configure(agents.amphora_id, agents.address, large)

    async def test_the_controllers_key_is_written_to_no_file_with_a_name(
        self, tmp_path: Path
    ) -> None:
        script = """
import asyncio, datetime, pathlib, sys
from fairlead.drivers import amphora_rest
from fairlead.drivers.secrets_local import SecretsLocal
class Now:
    def now(self): return datetime.datetime.now(datetime.UTC)
secrets = SecretsLocal(pathlib.Path(sys.argv[1]), clock=Now())
credentials = asyncio.run(secrets.controller())
written = []
def watch(event, facts):
    if event == "os.mkdir" or (event == "open" and isinstance(facts[0], str) and facts[2] & 3):
        written.append(facts[0])
sys.addaudithook(watch)
amphora_rest._tls_context(credentials)
print(written)
"""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0] == b"[]\n"

    async def test_an_agent_of_an_earlier_release_says_no(self, tmp_path: Path) -> None:
        """Its answer to a path that it does not know."""
        secrets = SecretsLocal(tmp_path / "secrets", clock=Now())
        amphora_id = str(uuid.uuid4())
        issued = await secrets.issue(amphora_id, ADDRESS)
        pair = tmp_path / "pair.pem"
        pair.write_text(issued.certificate + issued.private_key)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pair)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(asked.partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            body = msgspec.json.encode(Rejected(kind="request", reason="no such path"))
            head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, ADDRESS, 0, ssl=tls) as earlier:
            rest = AmphoraRest(secrets, timeout=5, port=earlier.sockets[0].getsockname()[1])
            renewal = Renewal(epoch=1, **asdict(issued))
            assert not await rest.renew(amphora_id, ADDRESS, renewal)
            await rest.close()

    async def test_calls_under_way_end_well_when_the_controller_is_renewed(
        self, agents: Agents
    ) -> None:
        """Two certificates take turns while calls go on: none fails, old connections are closed."""
        assert isinstance(agents, RealAgents)
        secrets = agents._amphora.secrets
        pools = []
        for _ in range(5):
            calls = [agents.port.status(agents.amphora_id, agents.address) for _ in range(8)]
            under_way = asyncio.gather(*calls)
            await asyncio.sleep(0.01)
            (secrets._vault._directory / "controller.sealed").unlink()
            await agents.port.status(agents.amphora_id, agents.address)
            await under_way
            pools.append(agents._amphora.rest._pool)
        assert len({id(pool) for pool in pools}) == 5
        assert [pool.client.is_closed for pool in pools] == [True] * 4 + [False]

    async def test_certificate_for_another_address_is_refused(self, own_network: None) -> None:
        async with live_amphora() as amphora:
            await amphora.write_boot(listen="0.0.0.0")
            await amphora.start()
            with pytest.raises(Retryable, match=r"127\.0\.0\.2.*certificate"):
                await amphora.rest.status(amphora.amphora_id, "127.0.0.2")

    async def test_agent_that_hangs_is_given_up(self, agents: Agents) -> None:
        assert isinstance(agents, RealAgents)
        live = agents._amphora
        rest = AmphoraRest(live.secrets, timeout=0.5)
        await rest.status(agents.amphora_id, ADDRESS)
        assert live.agent is not None
        os.kill(live.agent.pid, 19)
        try:
            with pytest.raises(Retryable, match="does not answer"):
                await rest.status(agents.amphora_id, ADDRESS)
        finally:
            os.kill(live.agent.pid, 18)
            await rest.close()

    async def test_restarted_agent_is_found_again(self, agents: Agents) -> None:
        """A kept connection that died is no failure a caller sees twice."""
        assert isinstance(agents, RealAgents)
        await agents.port.status(agents.amphora_id, agents.address)
        agents.silence()
        await agents._amphora.start()
        status = await agents.port.status(agents.amphora_id, agents.address)
        assert status.amphora_id == agents.amphora_id

    async def test_calls_share_connections(self, agents: Agents) -> None:
        assert isinstance(agents, RealAgents)
        for _ in range(5):
            await agents.port.status(agents.amphora_id, agents.address)
        kept = agents._amphora.rest._pool
        assert kept is not None
        pool = kept.client._transport._pool  # type: ignore[attr-defined]
        assert len(pool.connections) == 1
