# shellcheck shell=bash
# Settings of the platform: .env beside docker-compose.yml, with the secrets of this installation. Sourced.

DOTENV="${ROOT}/.env"

# Secrets: name, kind, and what was made with it and is of no use without it.
readonly SECRETS="
SPARK_SECRET hex -
POSTGRES_PASSWORD hex postgres
AIRFLOW_DB_PASSWORD hex postgres
MLFLOW_DB_PASSWORD hex postgres
AIRFLOW_FERNET_KEY fernet postgres
AIRFLOW_API_SECRET hex -
AIRFLOW_JWT_SECRET hex64 -
AIRFLOW_PASSWORD word -
JUPYTER_TOKEN hex -
MONGO_PASSWORD hex mongo
KAFKA_CLUSTER_ID cluster kafka
STREAMFOREST_KAFKA_ADMIN_PASSWORD hex -
STREAMFOREST_KAFKA_PRODUCER_PASSWORD hex -
STREAMFOREST_KAFKA_PREDICTOR_PASSWORD hex -
STREAMFOREST_KAFKA_WEB_PASSWORD hex -
"

# Print the value of setting $1: the environment's, else that of .env, else $2.
setting() {
  local name=$1 value=""
  value=${!name:-}
  [[ -n "${value}" || ! -r "${DOTENV}" ]] || value=$(dotenv_value "${name}")
  printf '%s' "${value:-${2:-}}"
}

# Print the value of $1 in .env, without its quotes.
dotenv_value() {
  local value
  value=$(sed -n "s/^$1=//p" "${DOTENV}" | tail -n 1)
  value=${value#[\"\']}
  printf '%s' "${value%[\"\']}"
}

# Die where .env is there and cannot be what this project wrote.
check_dotenv() {
  local number line name kind value missing=()
  [[ -e "${DOTENV}" ]] || return 0
  [[ -f "${DOTENV}" && -r "${DOTENV}" ]] || die "${EX_DATA}" "${DOTENV} cannot be read; make it a file of yours: chmod 600"
  number=0
  while IFS= read -r line || [[ -n "${line}" ]]; do
    number=$((number + 1))
    [[ -z "${line}" || "${line}" == \#* ]] && continue
    [[ "${line}" =~ ^[A-Z_][A-Z0-9_]*=(\"[^\"\$\`]*\"|\'[^\']*\'|[^\"\'\$\`[:space:]]*)$ ]] ||
      die "${EX_DATA}" "line ${number} of ${DOTENV} is not NAME=VALUE; mend it or restore the file"
  done <"${DOTENV}"
  while read -r name kind _; do
    [[ -n "${name}" ]] || continue
    value=$(setting "${name}")
    # A secret that was cut short or left as a placeholder is worse than none.
    ((${#value} >= $(shortest "${kind}"))) || missing+=("${name}")
  done <<<"${SECRETS}"
  ((${#missing[@]} == 0)) ||
    die "${EX_DATA}" "${DOTENV} lacks ${missing[*]}; restore the file, or have what may be made anew made: ./control_env.sh update"
}

shortest() {
  case "$1" in
    word) echo 16 ;;
    cluster) echo 22 ;;
    hex64) echo 64 ;;
    *) echo 32 ;;
  esac
}

# Print a new secret of kind $1.
new_secret() {
  case "$1" in
    hex) random_bytes 24 | od -An -v -tx1 | tr -d ' \n' ;;
    hex64) random_bytes 64 | od -An -v -tx1 | tr -d ' \n' ;;
    fernet) random_bytes 32 | base64 | tr '+/' '-_' | tr -d '\n' ;;
    word) random_bytes 15 | base64 | tr '+/' 'xy' | tr -d '=\n' ;;
    # What Kafka takes for a name of a cluster: 16 bytes, never beginning with a hyphen, which its tools take for an option.
    cluster) printf 'S%s' "$(random_bytes 16 | base64 | tr '+/' '-_' | tr -d '=\n' | cut -c 2-22)" ;;
  esac
}

random_bytes() { head -c "$1" /dev/urandom; }

# Write .env at a first start. What the user adds below stays.
make_dotenv() {
  local name kind data user group aside="${DOTENV}.new-$$"
  [[ ! -e "${DOTENV}" ]] || return 0
  data=$(stored_data)
  [[ -z "${data}" ]] ||
    die "${EX_DATA}" "${DOTENV} is gone, and data made with its secrets are in volumes ${data}; restore it, or remove them: ./control_env.sh cleanup"
  read -r user group < <(container_user)
  (
    umask 077
    {
      printf '# Settings and secrets of this installation, made by ./control_env.sh. Keep it, and keep it to yourself.\n'
      printf '# docs/guide/platform.md lists what may be set here.\n'
      printf 'STREAMFOREST_UID=%s\nSTREAMFOREST_GID=%s\n' "${user}" "${group}"
      printf 'COMPOSE_PROFILES=%s\n' "${COMPOSE_PROFILES:-full}"
      small_machine_settings
      while read -r name kind _; do
        [[ -z "${name}" ]] || printf '%s=%s\n' "${name}" "$(new_secret "${kind}")"
      done <<<"${SECRETS}"
    } >"${aside}"
  ) || die "${EX_DATA}" "cannot write ${DOTENV}; make ${ROOT} writable"
  mv -f -- "${aside}" "${DOTENV}"
  say "wrote ${DOTENV}, with new secrets"
}

# Add secrets that a newer version wants, unless data exist that were made with the old one.
renew_dotenv() {
  local name kind owner value data
  [[ -e "${DOTENV}" ]] || return 0
  data=$(stored_data)
  while read -r name kind owner; do
    [[ -n "${name}" ]] || continue
    value=$(setting "${name}")
    ((${#value} < $(shortest "${kind}"))) || continue
    [[ " ${data} " != *" ${owner} "* ]] ||
      die "${EX_DATA}" "${DOTENV} lacks ${name}, with which volume ${owner} was made; restore the file, or remove what was made: ./control_env.sh cleanup"
    say "a new ${name} goes into ${DOTENV}"
    replace_in_dotenv "${name}" "$(new_secret "${kind}")"
  done <<<"${SECRETS}"
}

replace_in_dotenv() {
  local aside="${DOTENV}.new-$$"
  (umask 077 && { sed "/^$1=/d" "${DOTENV}" && printf '%s=%s\n' "$1" "$2"; } >"${aside}") &&
    mv -f -- "${aside}" "${DOTENV}"
}

# Only its owner may read it.
guard_dotenv() {
  local mode
  mode=$(stat -c %a "${DOTENV}" 2>/dev/null || stat -f %Lp "${DOTENV}")
  [[ "${mode}" == 600 ]] || { say "warning: ${DOTENV} had mode ${mode}; it is 600 now" && chmod 600 "${DOTENV}"; }
}

# Print user and group that the containers run as: the user's own, so that files are his; never root.
container_user() {
  if ((EUID == 0)); then printf '10001 10001\n'; else printf '%s %s\n' "${EUID}" "$(id -g)"; fi
}

# Below 12 GB the workers offer less; streams and one training run still fit side by side.
small_machine_settings() {
  (($(engine_memory_mb) < 12000)) || return 0
  printf 'SPARK_WORKER_MEMORY=2g\nSPARK_WORKER_LIMIT=2560m\nSTREAMFOREST_SPARK_BATCH_MEMORY=768m\n'
  printf 'STREAMFOREST_SPARK_STREAM_MEMORY=512m\nSTREAMFOREST_SPARK_DRIVER_MEMORY=768m\nAIRFLOW_SCHEDULER_LIMIT=4g\n'
}
