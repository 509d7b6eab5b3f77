#!/bin/bash
# Make a database with the owner and the password that the environment names, and serve it to the container's network.
set -euo pipefail
programs=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data/cluster
"$programs/initdb" -D "$data" -U "$POSTGRES_USER" -A scram-sha-256 --pwfile="$POSTGRES_PASSWORD_FILE" -E UTF8
echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
echo "CREATE DATABASE $POSTGRES_DB" | "$programs/postgres" --single -D "$data" postgres
exec "$programs/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
