"""Certificates on their way to the amphora, and secret stores that do not give them."""

import asyncio
from datetime import UTC, datetime

from msgspec.structs import replace

from fairlead.domain import edits
from fairlead.domain.edits import Edit
from fairlead.errors import Retryable
from fairlead.wire.amphora import without_contents
from tests.authority import Authority, joined
from tests.scenarios.stage import RESYNC, SLOW_RETRY, Stage

CA = Authority()
REF, REF_2 = "https://secrets.test/1", "https://secrets.test/2"


def secure(stage: Stage, reference: str = REF, **values: object) -> list[Edit]:
    """A listener that terminates TLS, "listener", with a pool of one member."""
    stage.vault.bundles.setdefault(REF, CA.issue("one.test"))
    given = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, **values,
             "default_tls_container_ref": reference}  # fmt: skip
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "listener_id": "listener"}
    return [
        lambda t: stage.adding("listener", "listener", loadbalancer_id=t.id, **given)(t),
        lambda t: stage.adding("pool", "pool", loadbalancer_id=t.id, **pool)(t),
        stage.member(1),
    ]


def contents(stage: Stage, lb: str) -> list[str]:
    return sorted(stage.machine(lb).files.values())


async def notes(stage: Stage, lb: str) -> list[str]:
    return [e.detail for e in await stage.events(lb) if e.step == "Certificates"]


async def test_the_amphora_gets_what_the_reference_leads_to(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    bundle = stage.vault.bundles[REF]
    assert contents(stage, lb) == [bundle.certificate + bundle.private_key]
    (file,) = stage.machine(lb).config.files
    assert f"/certificates/{file.name} " in stage.machine(lb).config.haproxy_cfg


async def test_what_the_amphora_holds_is_not_sent_again(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    await stage.edit(lb, stage.member(2))
    await stage.settled(lb)
    first, second = stage.machine(lb).configured
    assert first.files[0].content is not None
    assert second.files == without_contents(first).files
    assert await stage.wanted(lb) == second.revision, "what is sent along makes no revision"


async def test_a_new_reference_brings_a_new_certificate_and_takes_the_old_away(
    stage: Stage,
) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    stage.vault.bundles[REF_2] = CA.issue("two.test")
    await stage.change(lb, "listener", "listener", default_tls_container_ref=REF_2)
    await stage.settled(lb)
    bundle = stage.vault.bundles[REF_2]
    assert contents(stage, lb) == [bundle.certificate + bundle.private_key]


async def test_a_secret_that_changed_is_taken_up_by_itself(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    bundle = stage.vault.bundles[REF] = CA.issue("renewed.test")
    await stage.sleep(RESYNC + 1)
    assert contents(stage, lb) == [bundle.certificate + bundle.private_key]


async def test_changes_go_on_while_the_secret_store_is_away(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    stage.vault.away = True
    await stage.edit(lb, stage.member(2))
    await stage.edit(lb, stage.member(3))
    await stage.settled(lb)
    assert len(stage.machine(lb).config.servers) == 3
    assert await notes(stage, lb) == [
        f"The secret store does not answer for {REF}. It is served as the amphora has it."
    ]


async def test_a_deleted_secret_goes_on_being_served(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    stage.vault.bundles.clear()
    await stage.kill()
    await stage.start()
    await stage.change(lb, "listener", "listener", connection_limit=7)
    await stage.settled(lb)
    assert len(contents(stage, lb)) == 1
    assert await notes(stage, lb) == [
        f"Could not retrieve certificate: ['{REF}'] It is served as the amphora has it."
    ]


async def test_a_new_certificate_that_cannot_be_had_changes_nothing(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    served = stage.machine(lb).config
    await stage.change(lb, "listener", "listener", default_tls_container_ref=REF_2)
    await stage.sleep(1)
    assert await stage.provisioning(lb) == "ERROR"
    assert f"Could not retrieve certificate: ['{REF_2}']" in (await stage.events(lb))[0].detail
    assert stage.machine(lb).config == served
    stage.vault.bundles[REF_2] = CA.issue("two.test")
    await stage.settled(lb, within=SLOW_RETRY + 1)


async def test_an_amphora_that_is_new_serves_what_it_can(stage: Stage) -> None:
    """Its listener with a certificate that is gone comes when the certificate does."""
    lb = await stage.create(*stage.web(1), _second(stage))
    await stage.settled(lb)
    kept = stage.vault.bundles.pop(REF)
    stage.world.lose(next(iter(stage.world.machines)))
    await stage.sleep(60)
    text = stage.machine(lb).config.haproxy_cfg
    assert "frontend listener" in text
    assert "frontend secure" not in text
    assert any(f"['{REF}']" in e.detail for e in await stage.events(lb))
    stage.vault.bundles[REF] = kept
    await stage.sleep(2 * SLOW_RETRY)
    assert "frontend secure" in stage.machine(lb).config.haproxy_cfg


def _second(stage: Stage) -> Edit:
    stage.vault.bundles[REF] = CA.issue("one.test")
    given = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443,
             "default_tls_container_ref": REF}  # fmt: skip
    return lambda t: stage.adding("listener", "secure", loadbalancer_id=t.id, **given)(t)


async def test_a_store_that_hangs_is_not_waited_for_long(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    hanging = _Hanging()
    stage.reconciler._drivers = stage.executor._drivers = replace(stage.drivers, vault=hanging)
    await stage.edit(lb, stage.member(2))
    await stage.settled(lb, within=8)
    assert any("does not answer" in note for note in await notes(stage, lb))


class _Hanging:
    async def bundle(self, reference: str, project_id: str | None) -> object:
        return await asyncio.get_running_loop().create_future()

    text = bundle


async def test_an_expired_certificate_is_served_on_and_told_of_once(stage: Stage) -> None:
    ago = (datetime.now(UTC) - stage.clock.now()).days + 2
    stage.vault.bundles[REF] = CA.issue("old.test", days=-ago)
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    await stage.sleep(3 * RESYNC)
    assert len(contents(stage, lb)) == 1
    (told,) = await notes(stage, lb)
    assert told.startswith(f"The certificate of {REF} expired on ")


async def test_no_key_is_in_the_database_or_in_an_event(stage: Stage) -> None:
    stage.world.fail("configure", Retryable("busy"))
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    key = joined(stage.vault.bundles[REF]).partition("PRIVATE KEY")[2].split()[1]
    assert not any(key in event.detail for event in await stage.events(lb))
    kept = b"".join(p.read_bytes() for p in stage.file.parent.glob(f"{stage.file.name}*"))
    assert REF.encode() in kept
    assert key.encode() not in kept
    assert key not in repr(stage.machine(lb).config)


async def test_deleting_needs_no_secret_store(stage: Stage) -> None:
    lb = await stage.create(*secure(stage))
    await stage.settled(lb)
    stage.vault.away = True
    await stage.edit(lb, edits.remove("loadbalancer", lb, cascade=True))
    await stage.gone(lb)
    stage.assert_nothing_left()
