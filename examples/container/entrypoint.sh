#!/bin/sh
# Registers what a container serves, with the agent of its host. The agent cannot see the processes of
# another pid namespace, so a lease stands for them: it ends by itself LEASE after the last renewal.
#
#   docker run --volume /run/discoagent:/run/discoagent --group-add "$(getent group discoagent | cut -d: -f3)" \
#       --env SERVICE=web --env PORT=8080 --env ADDRESS=10.0.0.5 IMAGE entrypoint.sh COMMAND...
#
# ADDRESS and PORT are those by which other hosts reach the container. Mount the directory, not the
# socket: a restarted agent makes the socket anew.
set -eu

service=${SERVICE:?the name to register}
lease=${LEASE:-10}

"$@" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM INT

set -- ${PORT:+--port "$PORT"} ${ADDRESS:+--address "$ADDRESS"}
while kill -0 "$child" 2>/dev/null; do
    # Said again it is a renewal; after the loss of the agent's state it is a new registration.
    discoctl register "$service" --id "${ID:-$(hostname)}" "$@" --ttl "${lease}s" >/dev/null || true
    sleep "$((lease / 3 + 1))" &
    wait "$!" || true
done
discoctl deregister "$service/${ID:-$(hostname)}" >/dev/null || true
wait "$child"
