"""`doctor`: what is wrong with the set-up of the agent on this host, and what to do about it."""

import grp
import os
import stat

from discoagent.cli import output
from discoagent.cli.command import Session, verb
from discoagent.cli.views import Column, View
from discoagent.client.operating import Diagnosis
from discoagent.errors import AgentUnavailable, DiscoError, Refused, TimeoutExpired
from discoagent.sockets import candidate_paths, client_paths, listening_path

CONNECT_SECONDS = 1.0
DIAGNOSES: View[Diagnosis] = View(
    columns=(
        Column("STATE", lambda it: it.state),
        Column("SUBJECT", lambda it: it.subject),
        Column("FINDING", lambda it: f"{it.text}; {it.advice}" if it.advice else it.text),
    ),
    to_json=lambda it: it._asdict(),
    name=lambda it: it.subject,
    none="nothing was examined",
)


@verb("doctor", example="discoctl doctor\ndiscoctl doctor -o json")
def doctor(session: Session) -> int:
    """Examine the set-up of the agent on this host.

    Its socket, limits, state and address, and whether it and each peer reach one another. 1 if
    there is a problem; each comes with what to do.
    """
    printer = session.printer(output.NAMED)
    found = _examined(session)
    printer.many(found, DIAGNOSES)
    return 1 if any(it.state == "problem" for it in found) else 0


def _examined(session: Session) -> list[Diagnosis]:
    found = [*_socket(session), *_others(session)]
    if found[0].state == "problem":
        return found
    with session.disco() as disco:
        try:
            return [*found, *disco.examine()]
        except DiscoError as error:
            advice = "see `systemctl status discoagent`, and its log: `journalctl -u discoagent`"
            return [*found, Diagnosis("agent", "problem", error.message, advice)]


def _socket(session: Session) -> list[Diagnosis]:
    """Can this user speak to an agent?"""
    paths = client_paths(session.socket)
    try:
        path = listening_path(paths, CONNECT_SECONDS)
    except Refused as error:
        return [Diagnosis("socket", "problem", error.message, _how_to_get_in(paths))]
    except (AgentUnavailable, TimeoutExpired) as error:
        advice = "start it: `systemctl start discoagent`; why it ended: `journalctl -u discoagent`"
        return [Diagnosis("socket", "problem", error.message, advice)]
    return [Diagnosis("socket", "ok", f"an agent listens on {path}")]


def _others(session: Session) -> list[Diagnosis]:
    """Is there another agent, so that programs may speak to the one and people to the other?"""
    if session.socket or os.environ.get("DISCO_SOCKET"):
        return []
    listening = []
    for path in candidate_paths():
        try:
            listening.append(listening_path([path], CONNECT_SECONDS))
        except DiscoError:
            continue
    if len(listening) < 2:
        return []
    text = f"more than one agent runs here: {', '.join(listening)}"
    return [Diagnosis("socket", "problem", text, "stop all but one, or name one by DISCO_SOCKET")]


def _how_to_get_in(paths: list[str]) -> str:
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        group = _group(found.st_gid)
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o060 == 0o060:
            return f"`usermod -aG {group} USER`, and log in again (the socket's mode is {mode:04o})"
        return f'its mode is {mode:04o}: set socket_mode = "0660" and socket_group, then restart'
    return "ask to be in the group that the agent serves (socket_group)"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
