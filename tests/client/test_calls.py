"""What a client may ask: arguments as `api.py` has them, results as the contract has them."""

import os
from typing import Any

import pytest

from discoagent.client import calls
from discoagent.client.calls import Spec
from discoagent.errors import InvalidRequest
from discoagent.instance import Body, Member
from tests.client.specimens import row


def test_a_registration_has_every_argument() -> None:
    spec = Spec("web", 80, "h", "w", ["a"], {"k": "v"}, replace=True, wrapper=5)

    assert calls.register(spec).arguments == {
        "service": "web",
        "port": 80,
        "address": "h",
        "id": "w",
        "tags": ["a"],
        "meta": {"k": "v"},
        "lifetime": ["process", None],
        "replace": True,
        "wrapper": 5,
    }


@pytest.mark.parametrize(
    ("given", "lifetime", "own"),
    [
        ({}, ["process", None], True),
        ({"pid": os.getpid()}, ["process", os.getpid()], True),
        ({"pid": 1}, ["process", 1], False),
        ({"ttl": "10s"}, ["lease", 10_000], False),
        ({"ttl": 0.25}, ["lease", 250], False),
        ({"static": True}, ["static"], False),
    ],
)
def test_a_lifetime_is_what_was_said(given: Any, lifetime: list[Any], own: bool) -> None:
    spec = Spec("web", **given)

    assert spec.lifetime() == lifetime
    assert spec.own is own


@pytest.mark.parametrize(
    "given", [{"pid": 1, "ttl": "1s"}, {"ttl": 1, "static": True}, {"pid": 1, "static": True}]
)
def test_two_lifetimes_contradict_each_other(given: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Spec("web", **given)

    assert caught.value.field == "lifetime"


@pytest.mark.parametrize("ttl", ["", "10", "10 s", "-1s", "1d", [], float("inf"), float("nan")])
def test_a_ttl_that_is_no_duration_is_refused_by_name(ttl: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        calls.register(Spec("web", ttl=ttl))

    assert caught.value.field == "ttl"


@pytest.mark.parametrize(("given", "field"), [({"tags": 5}, "tags"), ({"meta": 5}, "meta")])
def test_what_is_no_list_or_map_is_refused_by_name(given: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        calls.register(Spec("web", **given))

    assert caught.value.field == field


def test_a_lone_tag_is_not_taken_for_its_letters() -> None:
    assert calls.register(Spec("web", tags="v2")).arguments["tags"] == ["v2"]


def test_a_registration_is_said_again_as_it_was_confirmed() -> None:
    body = Body.unpack(row(updated_ms=9, ref=(3, 4))[5])

    again = calls.register_again(Spec("web"), body).arguments

    assert (again["ref"], again["updated_ms"]) == ([3, 4], 9)
    assert again["registered_ms"] == body.registered_ms


def test_an_update_says_only_what_changes() -> None:
    assert calls.update("web").arguments == {"id": "web"}
    assert calls.update(
        "web",
        port=1,
        address="h",
        tags=[],
        tag="x",
        untag=["y"],
        meta={},
        set={"a": "b"},
        unset="c",
    ).arguments == {
        "id": "web",
        "port": 1,
        "address": "h",
        "tags": [],
        "tag": ["x"],
        "untag": ["y"],
        "meta": {},
        "set": {"a": "b"},
        "unset": ["c"],
    }


def test_a_cause_is_sent_only_if_there_is_one() -> None:
    assert calls.deregister("web").arguments == {"id": "web"}
    assert calls.deregister("web", cause="exit:0").arguments == {"id": "web", "cause": "exit:0"}


def test_services_are_counted_by_what_is_usable() -> None:
    body = {"services": [["web", {"passing": 2, "suspect": 1, "critical": 4}]]}

    assert calls.services(wait_ms=0).read([], body) == [
        {
            "service": "web",
            "total": 7,
            "usable": 3,
            "states": {"passing": 2, "suspect": 1, "critical": 4},
        }
    ]


def test_a_member_is_read_out_of_more_than_is_known() -> None:
    raw = {
        "node": "a",
        "incarnation": 1,
        "address": "h:1",
        "state": "alive",
        "instances": 0,
        "heard_ms": 5,
        "rtt_ms": None,
        "version": "1",
        "labels": {},
        "later": True,
    }

    assert calls.members(wait_ms=0).read([], {"members": [raw]}) == [
        Member("a", 1, "h:1", "alive", 0, 5, None, "1", {})
    ]


def test_each_address_has_its_result() -> None:
    body = {"results": [["a:1", True, None, 0], ["b:1", False, "refused", 4]]}

    assert calls.join(["a:1", "b:1"], wait_ms=0).read([], body) == [
        {"address": "a:1", "ok": True, "error": None, "code": 0},
        {"address": "b:1", "ok": False, "error": "refused", "code": 4},
    ]
