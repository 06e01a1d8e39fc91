#!/bin/sh
# Registers what a container serves, with the agent of its host. The agent cannot see the processes of
# another pid namespace, so a lease stands for them: it ends by itself LEASE after the last renewal.
#
#   docker run --volume /run/discoagent:/run/discoagent --group-add "$(getent group discoagent | cut -d: -f3)" \
#       --env SERVICE=web --env PORT=8080 --env ADDRESS=10.0.0.5 IMAGE entrypoint.sh COMMAND...
#
# ADDRESS and PORT are those by which other hosts reach the container. Mount the directory, not the
# socket: a restarted agent makes the socket anew. `systemctl stop` takes the directory away, too, unless
# a drop-in of the agent's unit says RuntimeDirectoryPreserve=yes.
set -eu

service=${SERVICE:?the name to register}
id=${ID:-$(hostname)}
lease=${LEASE:-10}

keep_registered() {
    nap=
    trap '[ -z "$nap" ] || kill "$nap" 2>/dev/null || true; exit 0' TERM # not within a registration
    while true; do
        # Said again it is a renewal; after the loss of the agent's state it is a new registration.
        discoctl register "$service" --id "$id" --ttl "${lease}s" \
            ${PORT:+--port "$PORT"} ${ADDRESS:+--address "$ADDRESS"} >/dev/null || true
        sleep "$((lease / 3 + 1))" &
        nap=$!
        wait "$nap"
    done
}

"$@" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' TERM INT
keep_registered &
keeper=$!

code=0
wait "$child" || code=$?
while kill -0 "$child" 2>/dev/null; do # it was the trap that ended the waiting
    code=0
    wait "$child" || code=$?
done
last=0 # an end that the shell noted between two waits is told now, and only once
wait "$child" 2>/dev/null || last=$?
[ "$last" -eq 127 ] || code=$last
kill -TERM "$keeper"
wait "$keeper" || true
discoctl deregister "$service/$id" >/dev/null || true
exit "$code"
