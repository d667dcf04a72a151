# shellcheck shell=bash
# What the platform needs, looked at before anything is changed. Sourced.

NEEDED_MEMORY_MB=7000
NEEDED_DISK_MB=10000
# Health checks with an interval of their own while a service starts.
NEEDED_ENGINE=25
readonly OWN_IMAGES=(spark mlflow airflow jupyter web) PUBLISHED_IMAGES=(apache/kafka:4.3.1 postgres:17 mongo:8)
# Setting, default and owner of each published port; the profile that it belongs to.
readonly PORTS="
SPARK_PORT 8080 core Spark's page
AIRFLOW_PORT 9090 core Airflow
MLFLOW_PORT 5000 core MLflow
KAFKA_PORT 9092 core Kafka
JUPYTER_PORT 8888 full Jupyter
WEB_PORT 8000 full the web page
"

# Print what the engine says of itself: version, cores, bytes of memory, architecture, folder.
engine_facts() {
  docker info --format '{{.ServerVersion}} {{.NCPU}} {{.MemTotal}} {{.Architecture}} {{.DockerRootDir}}' 2>/dev/null
}

engine_memory_mb() {
  local bytes
  bytes=$(docker info --format '{{.MemTotal}}' 2>/dev/null) || bytes=0
  printf '%s' "$((bytes / 1000000))"
}

# Print one row a requirement of engine and machine; fail where one is missing.
check_engine() {
  local version cores bytes architecture folder compose failed=0
  if ! command -v docker >/dev/null; then
    row MISSING engine "no docker; install Docker Engine ${NEEDED_ENGINE} or newer with its compose and buildx plugins"
    return 1
  fi
  read -r version cores bytes architecture folder <<<"$(engine_facts)" || true
  if [[ -z "${folder:-}" ]]; then
    row MISSING engine "$(describe_silent_engine)"
    return 1
  fi
  if ((${version%%.*} >= NEEDED_ENGINE)); then
    row ok engine "Docker ${version}, ${cores} cores"
  else
    row MISSING engine "Docker ${version}, ${NEEDED_ENGINE} or newer is needed; update it" && failed=1
  fi
  if compose=$(docker compose version --short 2>/dev/null) && [[ "${compose#v}" =~ ^([2-9]|[1-9][0-9])\. ]]; then
    row ok compose "${compose}"
  else
    row MISSING compose "no docker compose v2; install the plugin docker-compose-plugin (Debian: docker-compose)" && failed=1
  fi
  if ((bytes / 1000000 >= NEEDED_MEMORY_MB)); then
    row ok memory "$((bytes / 1000000)) MB for the engine"
  else
    row MISSING memory "$((bytes / 1000000)) MB for the engine, ${NEEDED_MEMORY_MB} MB are needed; give it more" && failed=1
  fi
  case "${architecture}" in
    x86_64 | amd64 | aarch64 | arm64) row ok machine "${architecture}" ;;
    *) row MISSING machine "${architecture}, unfit: x86_64 or aarch64 is needed" && failed=1 ;;
  esac
  check_engine_disk "${folder}" || failed=1
  return "${failed}"
}

describe_silent_engine() {
  local words
  words=$(docker info 2>&1 >/dev/null | tail -n 1) || true
  if [[ "${words}" == *"permission denied"* ]]; then
    printf "you may not use the engine; add yourself to its group: sudo usermod -aG docker %s" "${USER:-you}"
  else
    printf 'the engine does not answer; start it (systemctl start docker, or Docker Desktop)'
  fi
}

# The engine's folder may be on another machine, or not ours to look into: then nothing is said.
check_engine_disk() {
  local free_mb
  [[ -d "$1" ]] || return 0
  free_mb=$(($(df -Pk -- "$1" 2>/dev/null | awk 'NR == 2 { print $4 }') / 1024))
  if ((free_mb >= NEEDED_DISK_MB)) || [[ -z "$(missing_images)" ]]; then
    row ok space "${free_mb} MB free at $1"
  else
    row MISSING space "${free_mb} MB free at $1, ${NEEDED_DISK_MB} MB are needed; free some: docker system prune"
    return 1
  fi
}

# Print the names of our images that this installation runs, with their tag.
own_images() {
  local name
  for name in "${OWN_IMAGES[@]}"; do
    [[ "$(profile)" == full || "${name}" != jupyter && "${name}" != web ]] || continue
    printf 'streamforest/%s:%s\n' "${name}" "$(setting STREAMFOREST_TAG local)"
  done
}

published_images() {
  local name
  for name in "${PUBLISHED_IMAGES[@]}"; do
    [[ "$(profile)" == full || "${name}" != mongo:* ]] || continue
    printf '%s\n' "${name}"
  done
}

missing_images() {
  local name
  while read -r name; do
    docker image inspect "${name}" >/dev/null 2>&1 || printf '%s ' "${name}"
  done < <(own_images && published_images)
}

# An image of another architecture would start, slowly or not at all.
check_images() {
  local missing name own engine
  missing=$(missing_images)
  if [[ -n "${missing}" ]]; then
    row MISSING images "no ${missing% }; make them: ./control_env.sh create-images"
    return 1
  fi
  engine=$(docker version --format '{{.Server.Arch}}' 2>/dev/null)
  while read -r name; do
    own=$(docker image inspect --format '{{.Architecture}}' "${name}")
    if [[ "${own}" != "${engine}" ]]; then
      row MISSING images "${name} is for ${own}, this machine is ${engine}; make it here: ./control_env.sh create-images"
      return 1
    fi
  done < <(own_images && published_images)
  row ok images "all there"
}

# A port is free, or a container of this installation has it.
check_ports() {
  local name default owner_profile owner port failed=0 ours
  ours=$(docker ps --filter "label=com.docker.compose.project=$(project)" --format '{{.Ports}}' 2>/dev/null) || ours=""
  while read -r name default owner_profile owner; do
    [[ -n "${name}" ]] || continue
    [[ "${owner_profile}" == core || "$(profile)" == full ]] || continue
    port=$(setting "${name}" "${default}")
    if ! [[ "${port}" =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
      row MISSING ports "${name}=${port} is not a port; mend it in ${DOTENV}" && failed=1
    elif [[ "${ours}" != *":${port}->"* ]] && is_taken "${port}"; then
      row MISSING ports "port ${port} (${owner}) is taken$(who_listens "${port}"); end that, or set another ${name} in ${DOTENV}"
      failed=1
    fi
  done <<<"${PORTS}"
  ((failed)) || row ok ports "all free or ours"
  return "${failed}"
}

is_taken() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Print who listens at port $1, where that can be told.
who_listens() {
  local name
  command -v ss >/dev/null || return 0
  name=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | head -n 1)
  [[ -z "${name}" ]] || printf ' by %s' "${name}"
}

# The folders that containers read and write.
check_folders() {
  local folder name failed=0
  for name in data model predictions notebook; do
    folder="$(files_folder)/${name}"
    if [[ -d "${folder}" && ! -w "${folder}" ]] || [[ ! -d "${folder}" && ! -w "$(files_folder)" ]]; then
      row MISSING folders "cannot write to ${folder}; make it yours: sudo chown -R ${USER:-you} ${folder}"
      failed=1
    fi
  done
  ((failed)) || row ok folders "data, model, predictions and notebook in $(files_folder)"
  return "${failed}"
}

files_folder() {
  local folder
  folder=$(setting STREAMFOREST_FILES "${ROOT}")
  case "${folder}" in
    /*) printf '%s' "${folder}" ;;
    *) printf '%s/%s' "${ROOT}" "${folder}" ;;
  esac
}

# Print a row for each thing that the platform needs; fail where one is missing. For the verb doctor.
examine_platform() {
  local status=0
  check_engine || status=1
  [[ -n "$(engine_facts)" ]] || return 1
  (check_dotenv) || return
  check_images || status=1
  check_ports || status=1
  check_folders || status=1
  return "${status}"
}

# Print the rows that are wrong and die, or go on.
preflight() {
  local report tls
  tls=$(setting STREAMFOREST_TLS off)
  [[ "${tls}" == on || "${tls}" == off ]] || die "${EX_DATA}" "STREAMFOREST_TLS is on or off, not ${tls}; mend it in ${DOTENV}"
  report=$(check_engine) || refuse "${report}"
  check_dotenv
  report=$(check_images && check_ports && check_folders) || refuse "${report}"
}

# Die with the rows that say what is missing, one line each.
refuse() {
  local line
  while read -r line; do
    # Without the two columns before it.
    [[ "${line}" != MISSING* ]] || say "error: ${line:20}"
  done <<<"$1"
  exit "${EX_UNAVAILABLE}"
}
