"""An agent of a later build that greets as today, to say that it speaks wire versions 2 to 3.

`python -m tests.agent.next_hello FLAGS...`
"""

from discoagent.core import greeter
from discoagent.daemon.command import main

if __name__ == "__main__":
    vars(greeter)["WIRE"] = (2, 3)
    main()
