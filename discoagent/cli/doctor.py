"""`doctor`: what is wrong with the set-up of the agent on this host, and what to do about it."""

import grp
import os
import stat

from discoagent import __version__
from discoagent.cli import output
from discoagent.cli.command import Session, verb
from discoagent.cli.views import Column, View
from discoagent.client import Disco
from discoagent.client.operating import Diagnosis
from discoagent.errors import AgentUnavailable, DiscoError, Refused, TimeoutExpired
from discoagent.sockets import candidate_paths, client_paths, listening_path

CONNECT_SECONDS = 1.0
GROUP_MAY, ALL_MAY = 0o060, 0o006  # a connect needs the right to write, and clients read
OPEN_TO_GROUP = (
    'set socket_mode = "0660", and socket_group to the group of those who may, then restart the '
    "agent"
)
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

    Its socket, address, key, limits, state, disk, services, version and clock, and whether it and
    each peer reach one another. 1 if there is a problem; each comes with what to do.
    """
    printer = session.printer(output.NAMED)
    found = _examined(session)
    printer.many(found, DIAGNOSES)
    return 1 if any(it.state == "problem" for it in found) else 0


def _examined(session: Session) -> list[Diagnosis]:
    found, path = _socket(session)
    found += _others(path)
    if path is None:
        return found
    with session.disco() as disco:
        try:
            return [*found, *_own_version(disco), *disco.examine()]
        except DiscoError as error:
            advice = "see `systemctl status discoagent`, and its log: `journalctl -u discoagent`"
            return [*found, Diagnosis("agent", "problem", error.message, advice)]


def _socket(session: Session) -> tuple[list[Diagnosis], str | None]:
    """Can this user speak to an agent, and can others? Return the path where it listens, too."""
    paths = client_paths(session.socket)
    try:
        path = listening_path(paths, CONNECT_SECONDS)
    except Refused as error:
        return [Diagnosis("socket", "problem", error.message, _how_to_get_in(paths))], None
    except (AgentUnavailable, TimeoutExpired) as error:
        advice = "start it: `systemctl start discoagent`; why it ended: `journalctl -u discoagent`"
        return [Diagnosis("socket", "problem", error.message, advice)], None
    found = os.stat(path)
    mode = stat.S_IMODE(found.st_mode)
    if mode & GROUP_MAY != GROUP_MAY:
        text = f"the mode of {path} is {mode:04o}: only uid {found.st_uid} and root may speak to it"
        return [Diagnosis("socket", "problem", text, OPEN_TO_GROUP)], path
    who = "every user" if mode & ALL_MAY == ALL_MAY else f"the group {_group(found.st_gid)}"
    text = f"an agent listens on {path}, for {who} (mode {mode:04o})"
    return [Diagnosis("socket", "ok", text)], path


def _own_version(disco: Disco) -> list[Diagnosis]:
    """Was the agent started again since it was upgraded?"""
    agent = disco.hello().version
    if agent == __version__:
        return []
    text = f"discoctl is {__version__}, and the agent that runs is {agent}"
    return [Diagnosis("version", "warning", text, "`systemctl restart discoagent`: no event")]


def _others(path: str | None) -> list[Diagnosis]:
    """Is there another agent, so that programs may speak to the one and people to the other?

    One at a path of its own is for who names it.
    """
    if path not in candidate_paths():
        return []
    listening = []
    for candidate in candidate_paths():
        try:
            listening.append(listening_path([candidate], CONNECT_SECONDS))
        except DiscoError:
            continue
    if len(listening) < 2:
        return []
    text = f"more than one agent listens here: {', '.join(listening)}"
    advice = "stop all but one, or name the one that is meant by DISCO_SOCKET"
    return [Diagnosis("second agent", "problem", text, advice)]


def _how_to_get_in(paths: list[str]) -> str:
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if mode & GROUP_MAY == GROUP_MAY:
            group = _group(found.st_gid)
            return f"`usermod -aG {group} USER`, and log in again (the socket's mode is {mode:04o})"
        return f"its mode is {mode:04o}: {OPEN_TO_GROUP}"
    return "ask to be in the group that the agent serves (socket_group)"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
