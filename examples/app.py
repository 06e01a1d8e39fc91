"""An application that registers itself, and follows the service it needs.

python examples/app.py [--name shop] [--port 9000] [--needs db]

It prints where the service it needs is, each time that changes. While it runs, `discoctl list shop`
shows it on every host; however it ends, it is gone from every list within milliseconds.
"""

import argparse

from discoagent import Disco


def main() -> None:
    """Register, then follow until interrupted."""
    parser = argparse.ArgumentParser(description="registers itself and follows another service")
    parser.add_argument("--name", default="shop", help="name to register under")
    parser.add_argument("--port", type=int, default=9000, help="port this application serves")
    parser.add_argument("--needs", default="db", help="service to follow")
    wanted = parser.parse_args()

    with Disco() as disco:
        registration = disco.register(wanted.name, port=wanted.port, meta={"needs": wanted.needs})
        print(f"registered {registration.instance.name}", flush=True)
        usable: dict[str, str] = {}
        synced = False
        for event in disco.watch(wanted.needs):
            if event.kind == "synced":
                synced = True
            elif event.instance is not None and event.instance.usable:
                it = event.instance
                usable[it.name] = f"{it.address}:{it.port}"
            elif (gone := event.instance or event.before) is not None:
                usable.pop(gone.name, None)
            if synced:
                print(
                    f"{wanted.needs} is at {', '.join(usable.values()) or 'no address'}", flush=True
                )


if __name__ == "__main__":
    main()
