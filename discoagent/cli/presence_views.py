"""What presence looks like to people, as `views.py` has it for the rest. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from discoagent.cli.views import Column, View, lifetime, owner, plain
from discoagent.instance import Json
from discoagent.presence import Tracked


def said(meta: Mapping[str, Any]) -> str:
    """A meta as JSON on one line, without its ref."""
    rest = {name: value for name, value in meta.items() if name != "ref"}
    return plain(json.dumps(rest, ensure_ascii=False))


TOPICS: View[Json] = View(
    (
        Column("TOPIC", lambda it: plain(it["topic"])),
        Column("KEYS", lambda it: str(it["keys"])),
        Column("METAS", lambda it: str(it["metas"])),
    ),
    name=lambda it: plain(it["topic"]),
    to_json=dict,
    none="no topics",
)

METAS: View[Tracked] = View(
    (
        Column("KEY", lambda it: plain(it.key)),
        Column("REF", lambda it: it.ref),
        Column("META", lambda it: said(it.meta)),
        Column("LIFETIME", lambda it: lifetime(it.lifetime), wide=True),
        Column("OWNER", lambda it: owner(it.owner), wide=True),
        Column("UPDATED", lambda it: it.updated_at, wide=True),
    ),
    name=lambda it: it.ref,
    to_json=Tracked.to_json,
    none="nobody is there",
)

KEYS: View[Json] = View(
    (),
    name=lambda it: plain(next(iter(it))),
    to_json=dict,
    none=METAS.none,
)
"""Each `{KEY: [meta...]}`."""
