# shellcheck shell=bash
# The verb drill: break one thing of the running platform, and see that the promise holds all the same. Sourced.

DRILL_LIMIT_S=300
readonly DRILLS="driver executor producer worker broker pause scheduler mlflow mongo postgres"

# drill NAME  break a part under a running stream, wait for recovery, compare with the batch path; all: one by one
cmd_drill() {
  local name=${1:-} failed=0
  [[ " ${DRILLS} all " == *" ${name:-none} "* ]] || die "${EX_USAGE}" "drill takes one of ${DRILLS}, or all, not ${name:-nothing}"
  need_engine
  check_dotenv
  [[ -n "$(services_of_installation)" ]] || die "${EX_UNAVAILABLE}" "nothing runs here; start it: ./control_env.sh start"
  [[ "${name}" == all ]] || { drill "${name}" && return; exit "${EX_UNAVAILABLE}"; }
  for name in ${DRILLS}; do drill "${name}" || failed=1; done
  ((failed == 0)) || exit "${EX_UNAVAILABLE}"
}

drill() {
  local name=$1
  all_healthy || { say "error: drill ${name}: not all services are healthy; see ./control_env.sh status" && return 1; }
  say "drill ${name}: a stream begins"
  inside prepare || return 1
  say "drill ${name}: now"
  strike "${name}" || { say "error: drill ${name}: nothing was broken (see above)" && return 1; }
  wait_for_health "${DRILL_LIMIT_S}" || { say "error: drill ${name}: not healthy within ${DRILL_LIMIT_S} s" && return 1; }
  inside verify "${name}"
}

# Run a part of the drill beside the services.
inside() {
  run_once smoke python -P -m streamforest.platform.drill "$@"
}

strike() {
  case "$1" in
    driver | producer) kill_processes airflow-scheduler "$1" ;;
    # It is on one of them; the other says that it has none.
    executor) kill_processes worker1 "$1" 2>/dev/null || kill_processes worker2 "$1" ;;
    pause) pause_service kafka 20 ;;
    broker) crash kafka ;;
    worker) crash worker1 ;;
    scheduler) crash airflow-scheduler ;;
    postgres) crash postgres-airflow ;;
    mlflow | mongo) crash "$1" ;;
  esac
}

kill_processes() {
  compose exec -T "$1" python -P -m streamforest.platform.drill kill "$2" >&2
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
