"""A peer that keeps to no rule: it says to a real agent whatever it likes, on every socket."""

import time
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Self

import zmq

from discoagent.core.digest import name_hash
from discoagent.core.entry import ReplicaId
from discoagent.core.messages import (
    DeltaMessage,
    Digest,
    DigestReply,
    Heartbeat,
    Hello,
    Message,
    Probe,
    ProbeReply,
    Refusal,
    SyncChunk,
    SyncRequest,
    Welcome,
)
from discoagent.endpoints import parse
from discoagent.mesh.sockets import SMALL_FRAME_BYTES_MAX, bind_pair, routing_id
from discoagent.wire import decode, encode, topic
from tests.agent.harness import DEADLINE, AgentProcess
from tests.wire.specimens import specimens
from tests.wire.strategies import mutate, scramble

NODE = "hostile"
STRANGER = ReplicaId("stranger", 3)
NOBODY = ("127.0.0.1:1", "[::1]:1")  # where the strangers are said to be
LOOK_MS = 5
REPETITIONS = 10
Reply = Welcome | Refusal | SyncChunk | ProbeReply | DigestReply
REPLIES: dict[type, tuple[type[Reply], ...]] = {
    Hello: (Welcome, Refusal),
    SyncRequest: (SyncChunk,),
    Probe: (ProbeReply,),
    Digest: (DigestReply,),
}


class HostilePeer:
    """One node of the agent's cluster, over many lives: each begins with an honest Hello."""

    def __init__(self, agent: AgentProcess, cluster: str, luck: Random) -> None:
        self._agent = agent
        self._cluster = cluster
        self._luck = luck
        self._luck_of_replies = Random(luck.random())  # when it is asked is not in our hands
        self._prefix = topic(cluster)
        self._context = zmq.Context()
        self._router = self._socket(zmq.ROUTER)
        self._publisher = self._socket(zmq.XPUB)  # which hears of subscriptions
        self._publisher.set_hwm(0)
        self._dealer = self._socket(zmq.DEALER)
        bound = bind_pair(self._router, self._publisher, parse("127.0.0.1:0", any_port=True))
        self._endpoints = (str(bound), *NOBODY)
        status = agent.status()
        self._agent_id = ReplicaId(status["node"], status["incarnation"])
        self.id = ReplicaId(NODE, 0)
        self._hellos = 2**40
        self._beats = 0
        self._heard = False
        self._repertoire: list[bytes] = []

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        return socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.destroy(linger=0)

    # -- honest words

    def live_anew(self) -> None:
        """Begin another life: connect anew, be counted among the agent's peers, and be heard."""
        self.id = ReplicaId(NODE, self.id.incarnation + 1)
        self._dealer.close()
        self._dealer = self._socket(zmq.DEALER)
        self._dealer.setsockopt(zmq.ROUTING_ID, routing_id(self.id))
        self._dealer.connect(f"tcp://{self._agent.bind}")
        # Of the agent it speaks to its face alone: told of a later life, it would begin one.
        sayings = self._sayings(self._agent_id)
        self._repertoire = [encode(said, self.id, {7: b"later"}) for said in sayings]
        self._repertoire += [encode(said, self.id) for said in map(_begun, sayings) if said]
        self._replies = [it for it in self._sayings(STRANGER) if isinstance(it, Reply)]
        self.settle()
        until = time.monotonic() + DEADLINE
        while not self._heard:
            assert time.monotonic() < until, "the agent does not subscribe"
            self._look_who_hears()

    def _sayings(self, peer: ReplicaId) -> tuple[Message, ...]:
        return specimens(self.id, peer, self._endpoints, self._cluster)

    def _look_who_hears(self) -> None:
        while self._publisher.poll(LOOK_MS):
            self._heard = self._publisher.recv()[0] == 1

    def settle(self) -> None:
        """Say Hello and wait for its answer: all that was said before was read by then."""
        self._hellos += 1
        hello = Hello(self._hellos, self._cluster, self._endpoints[0], (1, 1))
        self._dealer.send(encode(hello, self.id))
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            while self._dealer.poll(LOOK_MS):
                message = decode(self._dealer.recv()).message
                if isinstance(message, Welcome | Refusal) and message.number == self._hellos:
                    return
        raise TimeoutError("the agent does not answer a Hello")

    def say(self, message: Message) -> None:
        """Say this to the agent's ROUTER, as it is, and wait until it was read."""
        self._dealer.send(encode(message, self.id))
        self.settle()

    # -- other words

    def ask(self) -> None:
        """Say something to the agent's ROUTER."""
        frame = self._luck.choice(self._repertoire)
        self._dealer.send_multipart(_spoiled(frame, self._luck))

    def publish(self) -> None:
        """Let the agent's SUB hear something."""
        self._beats += 1
        beat = Heartbeat(name_hash(NODE), self.id.incarnation, self._beats, 0, 1, 2, 3)
        honest = encode(beat, None)
        if self._luck.random() < 0.05:
            honest = self._luck.choice(self._repertoire)
        first, *more = _spoiled(honest, self._luck)
        first = first[: SMALL_FRAME_BYTES_MAX - len(self._prefix)]  # more would end the connection
        self._publisher.send_multipart([self._prefix + first, *more])

    def reply(self) -> None:
        """Answer what the agent's DEALER asked, by its number, again and again."""
        while self._router.poll(0):
            name, frame = self._router.recv_multipart()
            question = decode(frame).message
            if not isinstance(question, Hello | SyncRequest | Probe | Digest):
                continue
            for said in self._replies * REPETITIONS:
                if isinstance(said, REPLIES[type(question)]):
                    answer = encode(replace(said, number=question.number), self.id)
                    self._router.send_multipart([name, *_spoiled(answer, self._luck_of_replies)])


def _spoiled(frame: bytes, luck: Random) -> list[bytes]:
    """Change one field as a rule, sometimes any bytes, sometimes nothing; rarely add a frame."""
    share = luck.random()
    if share < 0.7:
        frame = mutate(frame, luck)
    elif share < 0.85:
        frame = scramble(frame, luck)
    return [frame, b"more"] if luck.random() < 0.01 else [frame]


def _begun(said: Message) -> DeltaMessage | None:
    """Return a delta that begins a chain, in place of one that goes on with it."""
    if not isinstance(said, DeltaMessage):
        return None
    return DeltaMessage(tuple(replace(delta, since=0, removed={}) for delta in said.deltas))
