#!/bin/bash
# One database and one role for each service that keeps something; a role reaches its own database alone.
set -Eeuo pipefail

database() {
  local name=$1 password=$2
  psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "${POSTGRES_USER}" --dbname postgres \
    -v name="${name}" -v password="${password}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

database airflow "${AIRFLOW_DB_PASSWORD:?}"
database mlflow "${MLFLOW_DB_PASSWORD:?}"
psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "${POSTGRES_USER}" --dbname postgres \
  -c 'REVOKE ALL ON DATABASE postgres FROM PUBLIC'
