"""The health checks that this agent makes of its own entries.

`health.py` decides what outcomes mean, `schedule.py` when who is asked; both are pure. `tcp.py`,
`commands.py` and `web.py` ask, `checking.py` runs them on the agent's loop. `guard.py` and
`warden.py` see to it that no command outlives the agent.
"""
