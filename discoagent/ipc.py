"""The local socket: a ZeroMQ ROUTER on ipc. One request is one frame, so is each answer.

A second bind on a live path would succeed and steal it, so a lock file is taken first. Who asks is
what the kernel says of the connection, read anew from every frame: a routing id can be pretended.
"""

import asyncio
import contextlib
import fcntl
import grp
import logging
import os
import stat
from collections import Counter, deque
from collections.abc import Callable

import zmq

from discoagent.api import REQUEST_BYTES_MAX, UNREAD_BYTES_MAX
from discoagent.errors import Conflict, DiscoError, InvalidRequest, Refused
from discoagent.sockets import check_path

REQUESTS_PER_TURN = 512  # then the loop looks at everything else first
ANSWERS_TOGETHER = 256
ANSWERS_QUEUED_MAX = 1_000  # per connection in libzmq; what is over waits in our own queue
UNREAD_RETRY = 0.01  # seconds between two tries while some reader has no room
LAST_WORDS_MS = 200
HANDSHAKE_MS = 5_000  # who connects and says nothing is cut off

_log = logging.getLogger("discoagent")

Take = Callable[[bytes, str, "bytes | memoryview"], None]


class SocketLock:
    """The lock file beside a socket: held by an agent as long as it serves that path."""

    def __init__(self, path: str) -> None:
        """Take it. Raises Conflict if another agent holds it, Refused if it cannot be made."""
        self._path = f"{path}.lock"
        while True:
            try:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise Refused(
                    f"socket: cannot make {self._path}: {error.strerror}",
                    kind="permission",
                    field="socket",
                ) from None
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
                os.close(self._fd)
                raise Conflict(
                    f"socket: another agent (pid {holder or 'unknown'}) serves {path}",
                    field="socket",
                ) from None
            if self.held:
                break
            os.close(self._fd)  # its holder removed the file between our two steps
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    @property
    def held(self) -> bool:
        """Has the file still its name, so that nobody else can take the lock?"""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except OSError:
            return False

    def abandon(self) -> None:
        """Let go of a lock whose file has no name any more."""
        os.close(self._fd)

    def release(self) -> None:
        """Remove the file, then let go of it, so that nobody can lock a file that has no name."""
        if self.held:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        os.close(self._fd)


class LocalSocket:
    """The ROUTER that this host's applications connect to. Everything happens in the loop's thread.

    `counters`: requests, answers, `late` (queued by us because the reader is slow), `unread` (given
    up on) and `gone` (the asker is no longer there).
    """

    def __init__(
        self,
        path: str,
        *,
        mode: int = 0o660,
        group: str = "",
        take: Take,
        on_gone: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Bind; nothing is read before `start`.

        `take` gets a connection's routing id, its peer address and a request's frame, or an empty
        frame for a message that has several. `on_gone`: who does not read its answers is cut off.
        Raises InvalidRequest for a path that is too long or no socket, Conflict if another agent
        serves it, and Refused if it cannot be made.
        """
        self.path = _check_free(check_path(path))
        self.counters: Counter[str] = Counter()
        self._take = take
        self._on_gone = on_gone
        self._unread: dict[bytes, deque[bytes]] = {}
        self._unread_bytes: Counter[bytes] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._answers: list[tuple[bytes, bytes]] = []
        self._draining = False
        self._look_is_due = False
        self._lock = SocketLock(path)
        self._mode, self._group = mode, group
        self._lost = False  # nobody can reach us, and that was said
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        try:
            self._set_options()
            self._bind()
        except BaseException:
            self._context.destroy(linger=0)
            self._lock.release()
            raise

    def _set_options(self) -> None:
        for option, value in (
            (zmq.LINGER, LAST_WORDS_MS),
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.MAXMSGSIZE, REQUEST_BYTES_MAX),
            (zmq.SNDHWM, ANSWERS_QUEUED_MAX),
            (zmq.RCVHWM, ANSWERS_QUEUED_MAX),
            (zmq.BACKLOG, 1024),
            (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
        ):
            self._router.setsockopt(option, value)

    def _bind(self) -> None:
        former = os.umask(0o177)  # nobody else may connect before mode and group are set
        try:
            self._router.bind(f"ipc://{self.path}")
        except zmq.ZMQError as error:
            raise Refused(
                f"socket: cannot listen on {self.path}: {os.strerror(error.errno or 0).lower()}",
                kind="permission",
                field="socket",
            ) from None
        finally:
            os.umask(former)
        _give_to_group(self.path, self._group)
        os.chmod(self.path, self._mode)

    def keep_reachable(self) -> None:
        """Listen anew if the socket's file was removed: nobody new could reach us any more.

        The former listener stays, with its file that has no name: closing it removes the new one.
        """
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            self._listen_again()
        except OSError as error:
            self._warn(f"cannot look at {self.path}: {error.strerror}")

    def _listen_again(self) -> None:
        self._look_again()
        try:
            if not self._lock.held:
                former, self._lock = self._lock, SocketLock(self.path)
                former.abandon()
            self._bind()
        except (DiscoError, OSError) as error:  # or removed once more, between two steps
            self._warn(f"{self.path} was removed, and cannot be made again: {error}")
        else:
            self._lost = False
            _log.warning("socket: %s was removed by somebody, and is made again", self.path)

    def _warn(self, what: str) -> None:
        if not self._lost:
            self._lost = True
            _log.warning("socket: %s", what)

    def start(self) -> None:
        """Begin to read requests. Needs the running loop; what came before is still there."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._router.FD, self._drain)
        self._loop.call_soon(self._drain)

    def close(self) -> None:
        """Send the last answers (at most 0.2 s) and remove the socket and its lock."""
        if self._loop is not None:
            self._loop.remove_reader(self._router.FD)
            self._loop = None
        if self._retry is not None:
            self._retry.cancel()
        self._flush_unread()
        self._router.close()
        self._context.term()
        if self._lock.held:  # else it may be another agent's by now
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self._lock.release()

    def answer(self, name: bytes, frame: bytes) -> None:
        """Send an answer together with the others of this drain: each alone would wake threads."""
        if not self._draining:
            self.send(name, frame)
            return
        self._answers.append((name, frame))
        if len(self._answers) >= ANSWERS_TOGETHER:
            self._send_answers()

    def _send_answers(self) -> None:
        answers, self._answers = self._answers, []
        for name, frame in answers:
            self.send(name, frame)

    def send(self, name: bytes, frame: bytes) -> bool:
        """Send an answer, now or once its reader has room; False if the connection is gone."""
        if self._answers:
            self._send_answers()
        self._look_again()  # first, for whatever comes of it, the call below may eat a signal
        if name in self._unread:
            return self._keep(name, frame)
        try:
            self._router.send(name, zmq.SNDMORE | zmq.NOBLOCK)
        except zmq.Again:
            return self._keep(name, frame)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.counters["gone"] += 1
            return False
        self._router.send(frame, zmq.NOBLOCK)
        self.counters["answers"] += 1
        return True

    def _keep(self, name: bytes, frame: bytes) -> bool:
        """Let an answer wait for a reader that is slow; cut off one that never reads."""
        if self._unread_bytes[name] + len(frame) > UNREAD_BYTES_MAX:
            self.counters["unread"] += len(self._unread.get(name, ())) + 1
            self._forget(name)
            self._on_gone(name)
            return False
        self._unread.setdefault(name, deque()).append(frame)
        self._unread_bytes[name] += len(frame)
        self.counters["late"] += 1
        if self._retry is None and self._loop is not None:
            self._retry = self._loop.call_later(UNREAD_RETRY, self._try_again)
        return True

    def _forget(self, name: bytes) -> None:
        self._unread.pop(name, None)
        self._unread_bytes.pop(name, None)

    def _flush_unread(self) -> None:
        """Send on what waits, as far as its readers have room by now."""
        for name in list(self._unread):
            waiting = self._unread.pop(name)
            size = self._unread_bytes.pop(name)
            while waiting:
                try:
                    self._router.send(name, zmq.SNDMORE | zmq.NOBLOCK)
                except zmq.Again:
                    self._unread[name] = waiting
                    self._unread_bytes[name] = size
                    break
                except zmq.ZMQError as error:
                    if error.errno != zmq.EHOSTUNREACH:
                        raise
                    self.counters["gone"] += 1
                    self._on_gone(name)
                    break
                frame = waiting.popleft()
                size -= len(frame)
                self._router.send(frame, zmq.NOBLOCK)
                self.counters["answers"] += 1

    def _try_again(self) -> None:
        """See whether slow readers have room. A full queue gives no sign that can be relied on."""
        self._retry = None
        self._flush_unread()
        self._look_again()
        if self._unread and self._loop is not None:
            self._retry = self._loop.call_later(UNREAD_RETRY, self._try_again)

    def _look_again(self) -> None:
        """Read in the next turn, unless that is under way.

        The descriptor is edge-triggered: every call on the socket may eat the signal of a request
        that arrived, so that nobody would read it until the next one.
        """
        if not self._draining and not self._look_is_due and self._loop is not None:
            self._look_is_due = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Read requests until there is none, or until this turn's share is done."""
        if self._loop is None:
            return
        self._look_is_due = False
        self._draining = True
        try:
            if self._read_requests():
                self._look_is_due = True
                self._loop.call_soon(self._drain)
        finally:
            self._draining = False

    def _read_requests(self) -> bool:
        """Read this turn's share of requests; are there more? Last comes a look that found none."""
        for _ in range(REQUESTS_PER_TURN):
            try:
                name = self._router.recv(zmq.NOBLOCK)
            except zmq.Again:
                if not self._answers:
                    return False
                self._send_answers()
            else:
                self._receive(name)
        self._send_answers()
        return True

    def _receive(self, name: bytes) -> None:
        frame = last = self._router.recv(zmq.NOBLOCK, copy=False)
        self.counters["requests"] += 1
        while last.more:
            last = self._router.recv(zmq.NOBLOCK, copy=False)
        whole = frame.buffer if last is frame else b""
        self._take(name, str(frame.get("Peer-Address")), whole)


def _check_free(path: str) -> str:
    """Return the path unless binding there would remove what is no socket."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return path
    if not stat.S_ISSOCK(mode):
        raise InvalidRequest(f"socket: {path} exists and is no socket", field="socket")
    return path


def _give_to_group(path: str, group: str) -> None:
    """Let a group use the socket; without such a group it is left alone, with a line in the log."""
    if not group:
        return
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        _log.info("socket: there is no group %r, so %s stays with our own", group, path)
    except OSError as error:
        _log.warning("socket: cannot give %s to group %r: %s", path, group, error.strerror)
