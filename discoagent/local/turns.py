"""The end of a turn: what changed is kept, then answered for, and pushed to the peers in one go."""

import asyncio
from collections.abc import Callable
from functools import partial

from discoagent.core.effects import Effect
from discoagent.local.entries.keeping import Keeping

PUSH_SHARE = 10  # a push may take one part in so many of the loop's time
ANSWERS_TOGETHER = 256  # these do not wait for the end of a long turn

Answers = list[tuple[bytes, bytes]]


class Turns:
    """Ends each turn in which something happened. One push waits for the store at a time."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        keeping: Keeping,
        flush: Callable[[], list[Effect]],
        run: Callable[[list[Effect]], None],
        send: Callable[[bytes, bytes], object],
        at_end: Callable[[], None],
    ) -> None:
        """`flush` gives the push, `run` runs it; `send` answers; `at_end` is called first."""
        self._loop = loop
        self._keeping = keeping
        self._flush = flush
        self._run = run
        self._send = send
        self._at_end = at_end
        self._turn: asyncio.Handle | None = None
        self._next_push: asyncio.TimerHandle | None = None
        self._answers: Answers = []
        self._pushing = False
        self._push_at = 0.0

    def begin(self) -> None:
        """Have this turn ended."""
        if self._turn is None:
            self._turn = self._loop.call_soon(self._end)

    def answer(self, name: bytes, frame: bytes) -> None:
        """Answer for a change, once it is kept."""
        self._answers.append((name, frame))
        if len(self._answers) >= ANSWERS_TOGETHER:
            self._answer()
        self.begin()

    def close(self) -> None:
        """Give the answers that wait; push nothing any more."""
        for handle in (self._turn, self._next_push):
            if handle is not None:
                handle.cancel()
        self._answer()
        self._keeping.release()

    def _end(self) -> None:
        self._turn = None
        self._at_end()
        self._answer()
        self._push()

    def _answer(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self._keeping.then(partial(self._send_all, answers))

    def _send_all(self, answers: Answers) -> None:
        for name, frame in answers:
            self._send(name, frame)

    def _push(self) -> None:
        """Push what changed to all peers. After a costly push the next waits in proportion."""
        if self._pushing or self._next_push is not None:
            return  # what is noted now is secured with that push
        if self._loop.time() < self._push_at:
            self._next_push = self._loop.call_at(self._push_at, self._push_now)
            return
        effects = self._flush()
        if not effects:
            self._keeping.secure()
            return
        self._pushing = True
        self._keeping.then(partial(self._pushed, effects))

    def _push_now(self) -> None:
        self._next_push = None
        self._push()

    def _pushed(self, effects: list[Effect]) -> None:
        self._pushing = False
        began = self._loop.time()
        self._run(effects)
        self._push_at = began + PUSH_SHARE * (self._loop.time() - began)
        self.begin()  # more may have come while these waited
