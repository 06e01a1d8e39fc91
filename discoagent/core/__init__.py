"""The protocol, pure: verbs go in with the time, effects come out as values. See README.md."""
