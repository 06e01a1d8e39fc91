"""An agent whose network loses messages: `python -m tests.agent.lossy FLAGS...`.

On SIGUSR1 what it pushes and beats goes nowhere, as frames are lost in a full queue; on SIGUSR2 it
reaches its peers again. Questions, answers and the connections themselves are not touched.
"""

import signal
import sys
from collections.abc import Iterable

from discoagent.core.messages import DeltaMessage, Heartbeat, Message
from discoagent.daemon import life
from discoagent.daemon.command import main
from discoagent.mesh.transport import Transport


class LossyTransport(Transport):
    """Loses deltas and heartbeats while `losing`."""

    losing = False

    def send(self, endpoints: Iterable[str], message: Message) -> None:
        """Queue a message, but for a delta that is to be lost."""
        if not (self.losing and isinstance(message, DeltaMessage)):
            super().send(endpoints, message)

    def broadcast(self, heartbeat: Heartbeat) -> None:
        """Publish a heartbeat, unless it is to be lost."""
        if not self.losing:
            super().broadcast(heartbeat)


def _lose(number: int, _: object) -> None:
    LossyTransport.losing = number == signal.SIGUSR1
    print("losing" if LossyTransport.losing else "sound again", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _lose)
    signal.signal(signal.SIGUSR2, _lose)
    vars(life)["Transport"] = LossyTransport  # with which an agent speaks to the others
    main()
