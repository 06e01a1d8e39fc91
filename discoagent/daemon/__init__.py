"""The agent as a process: its command line and configuration, and the life that ties all together.

command     `discoagent` itself: options, signals, exit codes
config      files, environment and flags, all checked; `settings` are the keys there are
agent       one life after another, for as long as the process runs
life        one replica, one clock, one mesh, one local socket; `runner` runs the effects
reloading   a new configuration in place of the old one
systemd     what the service manager is told
"""
