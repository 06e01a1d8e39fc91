"""A small chat room: who is online, on any host of the cluster, and what they say.

python examples/chat/chat.py NAME [--room lobby] [--device tv] [--host 127.0.0.1]

Start it several times, also under one name, also on other hosts. Each one tracks itself in the
room's topic and says in its meta where it is to be reached; so a name is online as long as one of
its devices is, however that ends. What is typed goes straight to everybody's devices by UDP:
presence tells who is there, it does not carry messages. /who lists them, /on DEVICE tells the
others that this one moved to another device, and the end of the input leaves the room.
"""

import argparse
import json
import socket
import sys
import threading
from collections.abc import Iterator

from discoagent import Disco, PresenceEvent


class Room:
    """One device in the room: `people` are the metas of each name, by their refs."""

    def __init__(self, disco: Disco, topic: str, name: str, device: str, host: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.people: dict[str, dict[str, dict[str, object]]] = {}
        self.changed = threading.Lock()
        self.events = disco.watch_presence(topic)
        self.me = disco.track(topic, name, self.meta(device))

    def meta(self, device: str) -> dict[str, object]:
        """Return what is said of this device."""
        return {"device": device, "at": self.socket.getsockname()}

    def follow(self) -> None:
        """Keep up who is here, and say so."""
        for event in self.events:
            if event.key is not None:
                for line in self.take(event, event.key):
                    print(f"* {line}", flush=True)

    def take(self, event: PresenceEvent, name: str) -> Iterator[str]:
        """Take in one change."""
        with self.changed:
            devices = self.people.setdefault(name, {})
            was_here = bool(devices)
            if event.before is not None:
                devices.pop(event.before["ref"], None)
            if event.meta is not None:
                devices[event.meta["ref"]] = event.meta
            if not devices:
                del self.people[name]
        if not was_here:
            yield f"{name} is here"
        if event.kind == "updated" and event.meta is not None:
            yield f"{name} is on {event.meta['device']} now"
        if not devices:
            yield f"{name} left ({event.cause})"

    def online(self) -> Iterator[str]:
        """Return who is here, with their devices."""
        with self.changed:
            for name, devices in sorted(self.people.items()):
                yield f"{name} ({', '.join(sorted(str(it['device']) for it in devices.values()))})"

    def say(self, text: str) -> None:
        """Send a line to every other device."""
        packet = json.dumps({"from": self.name, "text": text}).encode()
        with self.changed:
            places = [it["at"] for devices in self.people.values() for it in devices.values()]
        mine = list(self.socket.getsockname())
        for place in places:
            if place != mine and isinstance(place, list):
                self.socket.sendto(packet, (place[0], place[1]))

    def hear(self) -> None:
        """Print what others say."""
        while packet := self.socket.recv(65536):
            said = json.loads(packet)
            print(f"{said['from']}: {said['text']}", flush=True)


def main() -> None:
    """Join the room, and talk until the input ends."""
    parser = argparse.ArgumentParser(description="joins a chat room over all agents")
    parser.add_argument("name", help="who you are; may be here several times")
    parser.add_argument("--room", default="lobby", help="which room to join")
    parser.add_argument("--device", default="terminal", help="on what you are here")
    parser.add_argument("--host", default="127.0.0.1", help="where others reach this host")
    wanted = parser.parse_args()

    with Disco() as disco:
        topic = f"chat:{wanted.room}"
        room = Room(disco, topic, wanted.name, wanted.device, wanted.host)
        for work in (room.follow, room.hear):
            threading.Thread(target=work, daemon=True).start()
        for line in sys.stdin:
            command, _, rest = line.strip().partition(" ")
            if command == "/who":
                print(f"online: {', '.join(room.online())}", flush=True)
            elif command == "/on":
                room.me.update(room.meta(rest))
            else:
                room.say(line.strip())


if __name__ == "__main__":
    main()
