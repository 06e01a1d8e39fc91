"""An agent of root without any capability, to whom modes of files apply as to everybody else.

`python -m tests.agent.without_capabilities FLAGS...`
"""

import os
import sys

if __name__ == "__main__":
    daemon = [sys.executable, "-m", "discoagent.daemon", *sys.argv[1:]]
    os.execvp("setpriv", ["setpriv", "--bounding-set", "-all", *daemon])
