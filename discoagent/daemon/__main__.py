"""`python -m discoagent.daemon`."""

from discoagent.daemon.command import main

main()
