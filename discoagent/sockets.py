"""Where the agent's local socket is: how the daemon, the client and `discoctl` find each other.

    1. /run/discoagent/agent.sock           the system's agent
    2. $XDG_RUNTIME_DIR/discoagent/agent.sock   a user's agent, where the variable is set
    3. /tmp/discoagent-UID/agent.sock       neither can be had; the directory is 0700 and ours

The daemon listens on the first that it can have; a client speaks to the first with a listener.
"""

import errno
import os
import socket
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress

from discoagent.errors import AgentUnavailable, InvalidRequest, Refused, TimeoutExpired

PATH_BYTES_MAX = 107  # sun_path holds 108 bytes with its NUL
CLIENT_VARIABLE = "DISCO_SOCKET"
SYSTEM_DIRECTORY = "/run/discoagent"
SOCKET_NAME = "agent.sock"


def candidate_paths(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the default socket paths, best first; nothing is looked at or made."""
    environ = os.environ if environ is None else environ
    directories = [SYSTEM_DIRECTORY]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        directories.append(f"{runtime.rstrip('/')}/discoagent")
    directories.append(private_directory())
    return [f"{directory}/{SOCKET_NAME}" for directory in directories]


def private_directory() -> str:
    """Return the directory of last resort, which belongs to this user alone."""
    return f"/tmp/discoagent-{os.geteuid()}"  # noqa: S108 - `daemon_path` makes it 0700, clients check its owner


def check_path(path: str) -> str:
    """Return `path` if the kernel can bind it; InvalidRequest names the bound otherwise."""
    size = len(os.fsencode(path))
    if not path or "\0" in path:
        raise InvalidRequest("socket: an empty path or one with a NUL", field="socket")
    if size > PATH_BYTES_MAX:
        raise InvalidRequest(
            f"socket: {path} is {size} bytes long, the kernel takes {PATH_BYTES_MAX}",
            field="socket",
        )
    return path


# -- the daemon ------------------------------------------------------------------------------------


def daemon_path(path: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Return where the agent shall listen, and make the directory of a default path.

    A `path` that was said is only checked. Raises InvalidRequest for a path that is too long,
    and Refused where none of the default paths can be had.
    """
    if path:
        return check_path(path)
    *wished, last = candidate_paths(environ)
    for candidate in wished:
        if len(os.fsencode(candidate)) <= PATH_BYTES_MAX and _made(
            os.path.dirname(candidate), 0o755
        ):
            return candidate
    directory = os.path.dirname(last)
    if not _made(directory, 0o700) or (fault := _not_private(directory)):
        fault = _not_private(directory) or "cannot be made"
        raise Refused(
            f"socket: {directory} {fault}; name another path with --socket", kind="permission"
        )
    return last


def _made(directory: str, mode: int) -> bool:
    """Is the directory there and writable, or could it be made?"""
    with suppress(OSError):
        os.mkdir(directory, mode)
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def _not_private(directory: str) -> str | None:
    """Say what keeps a directory from being this user's own: anybody may make names in /tmp."""
    try:
        found = os.lstat(directory)
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a directory"
    if found.st_uid != os.geteuid():
        return f"belongs to uid {found.st_uid}, not to us"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"has mode {stat.S_IMODE(found.st_mode):04o}; others may use it, it must be 0700"
    return None


# -- the client ------------------------------------------------------------------------------------


def client_paths(path: str | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the paths a client tries: `path`, else DISCO_SOCKET alone, else the default ones."""
    environ = os.environ if environ is None else environ
    if path is None:
        path = environ.get(CLIENT_VARIABLE) or None  # empty: as if it were not set
    return candidate_paths(environ) if path is None else [check_path(path)]


def listening_path(paths: list[str], timeout: float) -> str:
    """Return the first path where somebody listens.

    `timeout`: seconds that one connect may take; it waits only where a listener's backlog is full.
    Raises AgentUnavailable at once if nobody listens anywhere, naming every path and why; Refused
    where this user may not speak to what is there; TimeoutExpired.
    """
    faults = []
    for path in paths:
        fault = _fault(path, timeout)
        if fault is None:
            return path
        faults.append((path, fault))
    for path, fault in faults:
        if fault == errno.EACCES:
            raise Refused(
                f"permission denied on {path}: ask to be in the group that its agent serves "
                "(socket_group, `discoagent` by default)",
                kind="permission",
            )
    tried = ", ".join(f"{path} ({_words(fault)})" for path, fault in faults)
    raise AgentUnavailable(f"no agent listens: tried {tried}; start discoagent or name its socket")


def _fault(path: str, timeout: float) -> int | None:
    """Return the errno with which a connect to `path` fails, or None where somebody listens."""
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        return errno.ENAMETOOLONG
    directory = os.path.dirname(path)
    if directory == private_directory() and os.path.exists(directory) and _not_private(directory):
        return errno.EPERM
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Not `settimeout`: a non-blocking connect to a full backlog fails at once.
        microseconds = max(int(timeout * 1e6), 1000)
        limit = struct.pack("ll", microseconds // 1_000_000, microseconds % 1_000_000)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            probe.connect(path)
        except BlockingIOError:
            raise TimeoutExpired(
                f"{path} has a listener that accepts nothing: no answer within {timeout:g} s"
            ) from None
        except OSError as error:
            return error.errno or errno.EIO
    return None


def _words(fault: int) -> str:
    if fault == errno.EPERM:
        return "its directory is not ours alone, not trusted"
    return os.strerror(fault).lower()
