"""Whoever stops listening to a socket's events does not stop the socket."""

import zmq

from discoagent.mesh.sockets import LINK_DOWN, LINK_UP, Monitor, new_context, new_dealer
from tests.mesh.peers import DEADLINE, run


@run
async def test_events_after_the_monitor_was_closed() -> None:
    """The I/O thread, which all connections share, is not held up by an event nobody reads."""
    with new_context() as context, context.socket(zmq.ROUTER) as router:
        router.set(zmq.LINGER, 0)
        router.set(zmq.RCVTIMEO, int(DEADLINE * 1000))
        port = router.bind_to_random_port("tcp://127.0.0.1")
        with new_dealer(context, b"d1") as dealer:
            Monitor(context, dealer, LINK_UP | LINK_DOWN, lambda _: None).close()
            dealer.connect(f"tcp://127.0.0.1:{port}")
            dealer.send(b"still there")

            assert router.recv_multipart() == [b"d1", b"still there"]
