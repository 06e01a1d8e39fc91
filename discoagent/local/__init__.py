"""What only this host knows, between its applications and the replica. From the bottom up:

host/      what the kernel tells: who asks and owns, how processes end, what we may
requests/  what applications ask, as values; what is told
entries/   this node's own entries: who may make them, what changes, checks and ends them
events/    what happened, for whoever watches or comes back later
operator/  what an operator asks: how this agent is, and why
peers/     the other agents: looked for, heard, asked what they have seen
door       the local API, which has each request done by one of them
turns      the end of a turn: kept, answered, pushed
"""
