"""`bundle`: what a maintainer needs to see of an agent, in one file, without secrets."""

import io
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from discoagent.cli import output
from discoagent.cli.command import Session, verb
from discoagent.client import Disco
from discoagent.client.versions import versions
from discoagent.errors import DiscoError
from discoagent.instance import Instance, Json

HIDDEN = "(hidden)"
OF_A_CHECK = ("kind", "state", "flapping", "interval_ms")  # its command, URL and output may tell
Part = Callable[[Disco], Any]


@verb("bundle", example="discoctl bundle\ndiscoctl bundle - | tar tz")
@click.argument("file", required=False, metavar="[FILE]")
def bundle(session: Session, file: str | None) -> int:
    """Write what a maintainer needs to see of this agent.

    A gzipped tar with its status, figures, settings, members and instances, and what `doctor`
    finds. No key is in it, no meta value, and nothing of what checks run or are told.

    FILE is discoagent-NODE-TIME.tar.gz unless it is named; `-` is stdout.
    """
    printer = session.printer(output.COMMON)
    with session.disco() as disco:
        node = disco.hello().node
        parts = {name: _taken(part, disco) for name, part in PARTS.items()}
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = file or f"discoagent-{node}-{stamp}.tar.gz"
    packed = _packed(f"discoagent-{node}-{stamp}", parts)
    if path == "-":
        sys.stdout.buffer.write(packed)
        return 0
    Path(path).write_bytes(packed)
    printer.value({"file": path, "bytes": len(packed)}, [("", path)])
    return 0


def _taken(part: Part, disco: Disco) -> str:
    """Return one part as text; what cannot be had says why."""
    try:
        value = part(disco)
    except DiscoError as error:
        value = {"error": error.message}
    return value if isinstance(value, str) else output.dump(value, indent=2)


def _redacted(instance: Instance) -> Json:
    value = instance.to_json()
    checks = [{key: check[key] for key in OF_A_CHECK} for check in value["checks"]]
    return {**value, "meta": dict.fromkeys(value["meta"], HIDDEN), "checks": checks}


def _listed(disco: Disco) -> list[Json]:
    return [_redacted(instance) for instance in disco.list(all=True)]


PARTS: dict[str, Part] = {
    "versions.json": lambda disco: {**versions()._asdict(), "agent": disco.hello().version},
    "status.json": lambda disco: disco.status(),
    "settings.json": lambda disco: disco.settings(),
    "members.json": lambda disco: [member.to_json() for member in disco.members()],
    "services.json": lambda disco: disco.services(),
    "instances.json": _listed,
    "doctor.json": lambda disco: [found._asdict() for found in disco.examine()],
    "metrics.txt": lambda disco: disco.metrics(),
}


def _packed(directory: str, parts: dict[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, text in parts.items():
            content = text.encode()
            member = tarfile.TarInfo(f"{directory}/{name}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()
