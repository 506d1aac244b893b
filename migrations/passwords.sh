#!/bin/sh
# Gives the logins of roles.sql their passwords, from the environment. The postgres image runs both
# scripts, in this order, when it makes a new database; psql reads the variables itself, so that no
# password stands in a command line.
set -eu
: "${OWNER_PASSWORD:?is not set}" "${APP_PASSWORD:?is not set}" "${RELAY_PASSWORD:?is not set}"
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv owner OWNER_PASSWORD
\getenv app APP_PASSWORD
\getenv relay RELAY_PASSWORD
ALTER ROLE bicameral_owner PASSWORD :'owner';
ALTER ROLE bicameral_app PASSWORD :'app';
ALTER ROLE bicameral_relay PASSWORD :'relay';
SQL
[ -n "${BACKUP_PASSWORD:-}" ] || exit 0
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv backup BACKUP_PASSWORD
ALTER ROLE bicameral_backup PASSWORD :'backup';
SQL
