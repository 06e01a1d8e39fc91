"""`python -m discoagent.cli` is `discoctl`."""

from discoagent.cli import main

main(prog_name="discoctl")
