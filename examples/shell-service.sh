#!/bin/sh
# A web server that is found by every host of the cluster for exactly as long as it runs.
#
#   examples/shell-service.sh [NAME [PORT]]
#   discoctl resolve NAME
set -eu

name=${1:-hello}
port=${2:-8080}

exec discoctl run "$name" --port "$port" --tag example -- \
    python3 -m http.server --bind 127.0.0.1 "$port"
