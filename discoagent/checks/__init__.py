"""Health checks, as users write them and as entries hold them. Pure.

On the command line: `http:/health`, `http://HOST/PATH`, `https:/health`, `tcp`, `tcp:HOST:PORT`,
`exec:CMD ARG` or `ttl:10s`, options after a comma. In a service file a table: `{ http = "/health",
interval = "1s" }`. In the local API and in an entry a map: what is checked, in milliseconds; an
entry adds the state. What names no host is checked at the instance's own address and port.

A check is `pending` until its first pass. Then `fall` failures in a row make it critical, `rise`
passes in a row bring it back. The state of an instance is that of its worst check.
"""

from discoagent.checks.spec import Check

__all__ = ["Check"]
