"""An application on a lab host: `python -m tests.lab.app [SERVICE]...`.

It registers the services, each on port 80, then prints every event of the cluster as one line of
JSON, with `seen`: when it came, in seconds on the machine's monotonic clock, which all hosts share.
"""

import json
import sys
import time

from discoagent import Disco


def run(services: list[str]) -> None:
    """Serve until killed."""
    with Disco() as disco:
        for service in services:
            disco.register(service, port=80)
        for event in disco.watch():
            print(json.dumps({"seen": time.monotonic(), **event.to_json()}), flush=True)


if __name__ == "__main__":
    run(sys.argv[1:])
