"""What drivers may say to the driver agent, and how nonsense is answered."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.wire.driver_agent import (
    MAX_MESSAGE,
    Malformed,
    asked,
    framed,
    length,
    statistics,
    statuses,
)
from fairlead.wire.heartbeat import Counters


def raw(message: Any) -> bytes:
    return json.dumps(message).encode()


def test_statuses_count_from_below() -> None:
    said = statuses(raw({
        "loadbalancers": [{"id": "lb", "provisioning_status": "ACTIVE"}],
        "listeners": [{"id": "l"}], "pools": [{"id": "p", "operating_status": "ONLINE"}],
        "members": [{"id": "m", "provisioning_status": "DELETED", "updated": "yesterday"}],
        "healthmonitors": [{"id": "h"}], "l7policies": [{"id": "y"}], "l7rules": [{"id": "r"}],
    }))  # fmt: skip
    assert [one.id for one in said] == ["m", "h", "p", "r", "y", "l", "lb"]
    assert (said[0].kind, said[0].provisioning, said[0].operating) == ("member", "DELETED", None)
    assert (said[2].kind, said[2].operating) == ("pool", "ONLINE")


def test_statistics_by_listener() -> None:
    record = {"id": "l", "active_connections": 1, "bytes_in": 2, "bytes_out": 3,
              "request_errors": 4, "total_connections": 5}  # fmt: skip
    assert statistics(raw({"listeners": [record]})) == {
        "l": Counters(active_connections=1, bytes_in=2, bytes_out=3, request_errors=4,
                      total_connections=5)
    }  # fmt: skip


def test_questions() -> None:
    one = asked(raw({"object": "l7policies", "id": "x"}))
    assert (one.kind, one.id) == ("l7policy", "x")


def test_frames() -> None:
    assert framed({"status_code": 200}) == b'19\n{"status_code":200}'
    assert length(b"19\n") == 19


@pytest.mark.parametrize("header", [b"\n", b"-1\n", b"1 2\n", b"x\n", b"%d\n" % (MAX_MESSAGE + 1)])
def test_no_length(header: bytes) -> None:
    with pytest.raises(Malformed):
        length(header)


WRONG = [
    ({"pools": [{"id": "p", "provisioning_status": "ALLOCATED"}]}, ("pools", "p")),
    ({"pools": [{"id": "p", "operating_status": "FINE"}]}, ("pools", "p")),
    ({"members": [{"provisioning_status": "ACTIVE"}]}, ("members", None)),
    ({"members": ["m"]}, ("members", None)),
    ({"members": "m"}, ("members", None)),
    ({"amphorae": []}, (None, None)),
    ([], (None, None)),
]


@pytest.mark.parametrize(("message", "about"), WRONG)
def test_a_wrong_status_names_its_object(
    message: Any, about: tuple[str | None, str | None]
) -> None:
    with pytest.raises(Malformed) as caught:
        statuses(raw(message))
    answer = caught.value.answer
    assert answer["status_code"] == 500
    assert answer["fault_string"]
    assert (answer.get("status_object"), answer.get("status_object_id")) == about


@pytest.mark.parametrize("count", [-1, "1", True, None, 2**63])
def test_a_count_is_a_count(count: Any) -> None:
    with pytest.raises(Malformed) as caught:
        statistics(raw({"listeners": [{"id": "l", "bytes_in": count}]}))
    assert caught.value.answer["stats_object_id"] == "l"


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["pools", "id", "object"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["pools", "listeners", "id", "object", "x"]), inner, max_size=3),
).map(raw))  # fmt: skip
def test_nonsense_is_refused_and_nothing_worse(payload: bytes) -> None:
    for read in (statuses, statistics, asked):
        with contextlib.suppress(Malformed):
            read(payload)
