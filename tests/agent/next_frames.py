"""An agent of a later build, whose every message says wire version 2 and nothing else.

`python -m tests.agent.next_frames FLAGS...`
"""

from discoagent import wire
from discoagent.daemon.command import main

if __name__ == "__main__":
    vars(wire)["WIRE_VERSION"] = 2
    main()
