"""An agent whose state directory is on a full disk: `python -m tests.agent.full_disk FLAGS...`.

The disk is mounted for this process alone, and gone with it (root).
"""

import os
import sys
from pathlib import Path

MOUNTED = """
set -e
mount -t tmpfs -o size=64k none "$0"
cat /dev/zero > "$0"/filler 2> /dev/null || true
exec "$@"
"""

if __name__ == "__main__":
    flags = sys.argv[1:]
    directory = Path(flags[flags.index("--state-dir") + 1])
    directory.mkdir(mode=0o700, exist_ok=True)
    daemon = [sys.executable, "-m", "discoagent.daemon", *flags]
    os.execvp("unshare", ["unshare", "--mount", "sh", "-c", MOUNTED, str(directory), *daemon])
