# shellcheck shell=bash
# The verb drill: break one thing of the running platform, and see that the promise holds all the same. Sourced.

DRILL_LIMIT_S=300
readonly DRILLS="driver executor producer worker broker pause scheduler mlflow mongo postgres"

# drill NAME...  break parts, one after the other, under a running stream; compare with the batch path (all: one stream each)
cmd_drill() {
  local name failed=0
  for name in "${@:-nothing}"; do
    [[ " ${DRILLS} " == *" ${name} "* || "$*" == all ]] || die "${EX_USAGE}" "drill takes some of ${DRILLS}, or all alone, not ${name}"
  done
  need_engine
  check_dotenv
  [[ -n "$(services_of_installation)" ]] || die "${EX_UNAVAILABLE}" "nothing runs here; start it: ./control_env.sh start"
  if [[ "$*" == all ]]; then
    for name in ${DRILLS}; do drill "${name}" || failed=1; done
  else
    drill "$@" || failed=1
  fi
  ((failed == 0)) || exit "${EX_UNAVAILABLE}"
}

drill() {
  local names="$*" name before=""
  all_healthy || { say "error: drill ${names}: not all services are healthy; see ./control_env.sh status" && return 1; }
  say "drill ${names}: a stream begins"
  inside prepare "$#" || return 1
  for name in "$@"; do
    [[ -z "${before}" ]] || inside resumed || { say "error: drill ${before}: the stream does not go on" && return 1; }
    before=${name}
    say "drill ${names}: now ${name}"
    strike "${name}" || { say "error: drill ${name}: nothing was broken (see above)" && return 1; }
    wait_for_health "${DRILL_LIMIT_S}" || { say "error: drill ${name}: not healthy within ${DRILL_LIMIT_S} s" && return 1; }
  done
  inside verify "$@"
}

# Run a part of the drill beside the services.
inside() {
  run_once smoke python -P -m streamforest.platform.drill "$@"
}

strike() {
  local service
  case "$1" in
    driver | producer) kill_processes "$1" airflow-scheduler ;;
    executor) kill_processes "$1" worker1 worker2 ;;
    pause) pause_service kafka 20 ;;
    broker) crash kafka ;;
    worker) service=$(service_with executor worker1 worker2) && crash "${service}" ;;
    scheduler) crash airflow-scheduler ;;
    postgres) crash postgres-airflow ;;
    mlflow | mongo) crash "$1" ;;
  esac
}

kill_processes() {
  local service
  service=$(service_with "$@") && part "${service}" kill "$1" >&2
}

# Print the first service, of those after $1, in which such a process runs; after another strike it may have to start.
service_with() {
  local what=$1 service deadline=$((SECONDS + 60))
  shift
  while ((SECONDS < deadline)); do
    for service in "$@"; do
      ! part "${service}" find "${what}" >/dev/null 2>&1 || { printf '%s' "${service}" && return; }
    done
    sleep 1
  done
  say "no ${what} of the stream runs in $*"
  return 1
}

# Run a part of the drill in the container of service $1.
part() {
  local service=$1
  shift
  compose exec -T "${service}" python -P -m streamforest.platform.drill "$@" </dev/null
}

# End everything in a container at once, as a machine without power would; the engine starts it again by itself.
crash() {
  local id before deadline=$((SECONDS + 60))
  id=$(container_of "$1")
  before=$(docker inspect --format '{{.RestartCount}}' "${id}")
  # To every process but the first, which cannot be killed from within and ends with them.
  docker exec "${id}" bash -c 'kill -KILL -1' >/dev/null 2>&1 || true
  until (($(docker inspect --format '{{.RestartCount}}' "${id}") > before)); do
    ((SECONDS < deadline)) || { say "$1 was not ended and started again within 60 s" && return 1; }
    sleep 0.5
  done
}

# Stop the clock of service $1 for $2 seconds.
pause_service() {
  local id
  id=$(container_of "$1")
  docker pause "${id}" >/dev/null && sleep "$2"
  docker unpause "${id}" >/dev/null
}

container_of() {
  local id
  id=$(docker ps --quiet --filter "label=com.docker.compose.project=$(project)" --filter "label=com.docker.compose.service=$1")
  [[ -n "${id}" ]] || die "${EX_UNAVAILABLE}" "$1 does not run; see ./control_env.sh status"
  printf '%s' "${id}"
}
