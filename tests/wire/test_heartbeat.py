"""A heartbeat is believed only as a whole, from the right sender, with the right key."""

import hmac
import uuid
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.wire.heartbeat import (
    MAX_REPORT,
    Counters,
    Forged,
    ListenerReport,
    MemberReport,
    Report,
    claimed_sender,
    derive_key,
    seal,
    unseal,
)

MASTER = b"m" * 32
AMPHORA = str(uuid.UUID(int=7))
KEY = derive_key(MASTER, AMPHORA)

counts = st.integers(min_value=0, max_value=2**63 - 1)
names = st.text(max_size=40)
reports = st.builds(
    Report,
    amphora_id=st.uuids().map(str),
    boot=names,
    sequence=counts,
    sent_at=st.floats(allow_nan=False),
    revision=st.none() | names,
    healthy=st.booleans(),
    edge=st.booleans(),
    listeners=st.lists(
        st.builds(
            ListenerReport,
            id=names,
            state=st.sampled_from(["OPEN", "FULL", "STOP"]),
            counters=st.builds(Counters, bytes_in=counts, total_connections=counts),
        ),
        max_size=4,
    ).map(tuple),
    members=st.lists(
        st.builds(MemberReport, pool_id=names, id=names, state=st.sampled_from(["UP", "DOWN"])),
        max_size=8,
    ).map(tuple),
)


def report(amphora_id: str = AMPHORA) -> Report:
    return Report(
        amphora_id=amphora_id, boot="b", sequence=1, sent_at=1.5, revision=None, healthy=True
    )


@given(reports)
def test_what_is_sealed_is_unsealed(original: Report) -> None:
    key = derive_key(MASTER, original.amphora_id)
    datagram = seal(original, key)
    assert claimed_sender(datagram) == original.amphora_id
    assert unseal(datagram, key) == original


@given(st.data())
def test_no_part_is_believed(data: st.DataObject) -> None:
    whole = seal(report(), KEY)
    length = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    with pytest.raises(Forged):
        unseal(whole[:length], KEY)


@given(st.data())
def test_no_flipped_bit_is_believed(data: st.DataObject) -> None:
    whole = bytearray(seal(report(), KEY))
    bit = data.draw(st.integers(min_value=0, max_value=8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Forged):
        unseal(bytes(whole), KEY)


@given(st.binary(max_size=200))
def test_noise_is_forged(noise: bytes) -> None:
    with pytest.raises(Forged):
        unseal(noise, KEY)


def test_keys_differ_by_amphora_and_master() -> None:
    keys = {KEY, derive_key(MASTER, str(uuid.UUID(int=8))), derive_key(b"n" * 32, AMPHORA)}
    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)


def test_another_amphoras_key_does_not_open_it() -> None:
    other = derive_key(MASTER, str(uuid.UUID(int=8)))
    with pytest.raises(Forged):
        unseal(seal(report(), other), KEY)


def signed(plain: bytes) -> bytes:
    """A datagram whose signature is right, whatever it says."""
    body = uuid.UUID(AMPHORA).bytes + plain
    return b"\x01" + hmac.digest(KEY, body, "sha256") + body


@pytest.mark.parametrize(
    "plain",
    [
        b"not zlib at all",
        zlib.compress(b"not msgpack"),
        zlib.compress(msgspec.msgpack.encode({"amphora_id": AMPHORA})),
        zlib.compress(b"\0" * (MAX_REPORT * 4)),
        zlib.compress(msgspec.msgpack.encode(report(str(uuid.UUID(int=9))))),
    ],
    ids=["no zlib", "no msgpack", "fields missing", "a bomb", "another amphora inside"],
)
def test_signed_nonsense_is_forged(plain: bytes) -> None:
    with pytest.raises(Forged):
        unseal(signed(plain), KEY)


def test_other_versions_are_not_heartbeats() -> None:
    with pytest.raises(Forged):
        claimed_sender(b"\x02" + seal(report(), KEY)[1:])
