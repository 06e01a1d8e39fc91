"""An agent that may open few files: `python -m tests.agent.few_files FLAGS...`."""

import resource

from discoagent.daemon.command import main

FILES = 64

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    main()
