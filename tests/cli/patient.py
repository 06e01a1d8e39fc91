"""An agent that gives a wrapper all the time it needs: `python -m tests.cli.patient FLAGS...`.

An agent gives a living wrapper 25 ms to tell how its process ended: a busy machine takes longer.
"""

from discoagent.daemon.command import main
from discoagent.local.entries import lifetimes

PATIENCE_SECONDS = 10.0

if __name__ == "__main__":
    vars(lifetimes)["WRAPPER_PATIENCE"] = PATIENCE_SECONDS
    main()
