"""What arrives is read, whatever call on the socket ate its signal."""

import asyncio
import select

import zmq

from discoagent.core.entry import ReplicaId
from discoagent.endpoints import parse
from discoagent.mesh.sockets import bind_pair, routing_id
from discoagent.wire import encode
from tests.mesh.peers import DEADLINE, Peer, hello, peers, raw, run


@run
async def test_a_full_queue_hides_no_answer() -> None:
    """A message that finds no room is dropped; the answer that came meanwhile is heard."""
    with raw(zmq.ROUTER) as router, raw(zmq.PUB) as publisher, peers(Peer("a")) as (a,):
        for option in (zmq.RCVHWM, zmq.RCVBUF):
            router.set(option, 1)  # as little as there is
        endpoint = str(bind_pair(router, publisher, parse("127.0.0.1:0", any_port=True)))
        a.transport.connect(endpoint)
        a.transport.send([endpoint], hello())
        assert await asyncio.to_thread(router.poll, int(DEADLINE * 1000))
        name, _ = router.recv_multipart()
        assert name == routing_id(a.id)
        while not a.counters["dealer", "full"]:
            a.transport.send([endpoint], hello(2, "c" * 10_000))
        descriptor = a.transport._links[endpoint]._dealer.FD
        while select.select([descriptor], [], [], 0)[0]:  # what came of the queue's filling
            a.transport._links[endpoint]._dealer.get(zmq.EVENTS)

        # In this turn of the loop the answer comes, and calls on the socket eat its signal.
        router.send_multipart([name, encode(hello(3), ReplicaId("x", 1))])
        assert select.select([descriptor], [], [], DEADLINE)[0]
        while select.select([descriptor], [], [], 0)[0]:
            a.transport.send([endpoint], hello(4, "c" * 10_000))
        for _ in range(3):  # a few turns: nothing else would tell of it for seconds
            await asyncio.sleep(0)

        assert a.messages == [hello(3)]
