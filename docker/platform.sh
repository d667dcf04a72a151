# shellcheck shell=bash
# Verbs of the platform, and what they are made of. Sourced by control_env.sh.

START_LIMIT_S=420

# create-images  build the platform's images and fetch the published ones
cmd_create_images() {
  local report name started=${SECONDS}
  report=$(check_builder) || refuse "${report}"
  while read -r name; do
    docker image inspect "${name}" >/dev/null 2>&1 || docker pull --quiet "${name}" >&2 ||
      die "${EX_UNAVAILABLE}" "${name} could not be fetched; check the network and run it again"
  done < <(published_images)
  build_images || die "${EX_UNAVAILABLE}" "an image could not be built (see above); check the network and run it again"
  say "images made in $((SECONDS - started)) s:"
  while read -r name; do
    docker image inspect --format '{{index .RepoTags 0}} {{.Size}}' "${name}"
  done < <(own_images) | awk '{ printf "  %-32s %6.0f MB\n", $1, $2 / 1e6 }' >&2
}

# start  bring the platform up, wait for health, check it end to end, and print its addresses
cmd_start() {
  preflight
  make_dotenv
  guard_dotenv
  own_folders
  warn_of_publication
  make_certificates
  say "starting (a first start takes one to three minutes)"
  bring_up
  smoke || die "${EX_UNAVAILABLE}" "the platform runs, and a check of it failed (see above); look at: ./control_env.sh logs"
  print_addresses
}

# stop  end all services; models, runs, history and messages stay
cmd_stop() {
  need_engine
  check_dotenv
  [[ -e "${DOTENV}" ]] || die "${EX_DATA}" "nothing was started here: there is no ${DOTENV}"
  compose --profile "*" stop >&2
}

# restart  stop, then start
cmd_restart() {
  cmd_stop
  cmd_start
}

# status  one row a service: state, health, address; one row a stream: what it does now
cmd_status() {
  need_engine
  check_dotenv
  [[ -n "$(services_of_installation)" ]] || die "${EX_UNAVAILABLE}" "nothing runs here; start it: ./control_env.sh start"
  print_status
  print_streams
  all_healthy || return "${EX_UNAVAILABLE}"
}

# logs [service] [options]  what services said; options are those of docker compose logs, such as --follow
cmd_logs() {
  need_engine
  check_dotenv
  [[ -e "${DOTENV}" ]] || die "${EX_DATA}" "nothing was started here: there is no ${DOTENV}"
  local name
  for name in "$@"; do
    # What follows an option may be its value.
    [[ "${name}" != -* ]] || break
    grep -qx -- "${name}" <<<"$(compose --profile "*" config --services)" ||
      die "${EX_USAGE}" "no service ${name}; there are: $(compose --profile "*" config --services | sort | tr '\n' ' ')"
  done
  compose --profile "*" logs --tail 200 "$@"
}

# join ADDRESS  offer this machine's cores to the platform at ADDRESS (with its .env, and its files mounted here)
cmd_join() {
  local address=${1:-} own
  [[ "${address}" =~ ^[A-Za-z0-9.-]+$ ]] || die "${EX_USAGE}" "join takes the address of the platform's machine"
  need_engine
  check_dotenv
  [[ -e "${DOTENV}" ]] || die "${EX_DATA}" "there is no ${DOTENV}; copy that of the machine at ${address}"
  own=$(setting SPARK_WORKER_HOST "$(own_address "${address}")")
  [[ -n "${own}" ]] || die "${EX_DATA}" "this machine's address cannot be told; set SPARK_WORKER_HOST in ${DOTENV}"
  is_open "${address}" 7077 ||
    die "${EX_UNAVAILABLE}" "no Spark master at ${address}:7077; there, set STREAMFOREST_ADDRESS in .env and start again"
  own_folders
  STREAMFOREST_ADDRESS="${address}" SPARK_WORKER_HOST="${own}" STREAMFOREST_FILES=$(files_folder) \
    docker compose --project-name "$(setting COMPOSE_PROJECT_NAME streamforest)-worker" \
    --project-directory "${ROOT}" --file "${ROOT}/docker/worker.yml" --env-file "${DOTENV}" up --detach --no-build --wait >&2 ||
    die "${EX_UNAVAILABLE}" "the worker did not register with ${address}; see: docker logs streamforest-worker"
  say "this machine works for ${address} as ${own}; to leave: docker rm --force streamforest-worker"
}

# token [jupyter|airflow|kafka|ca]  how to log in: Jupyter, Airflow, clients of Kafka; whose certificates to trust
cmd_token() {
  check_dotenv
  [[ -e "${DOTENV}" ]] || die "${EX_DATA}" "there is no ${DOTENV} yet; it is made by: ./control_env.sh start"
  case "${1:-}" in
    "")
      printf '%-10s%s/lab?token=%s\n' jupyter "$(address JUPYTER_PORT 8888)" "$(setting JUPYTER_TOKEN)"
      printf '%-10s%s, user admin, password %s\n' airflow "$(address AIRFLOW_PORT 9090)" "$(setting AIRFLOW_PASSWORD)"
      printf '%-10s%s, for its clients: ./control_env.sh token kafka\n' kafka "127.0.0.1:$(setting KAFKA_PORT 9092)"
      ;;
    jupyter) printf '%s\n' "$(setting JUPYTER_TOKEN)" ;;
    airflow) printf '%s\n' "$(setting AIRFLOW_PASSWORD)" ;;
    kafka) kafka_properties "${2:-admin}" ;;
    ca) authority ;;
    *) die "${EX_USAGE}" "token takes jupyter, airflow, kafka or ca, not $1" ;;
  esac
}

# Print what a client of Kafka on this machine is configured with, as user $1.
kafka_properties() {
  local user=$1 password
  case "${user}" in
    admin | producer | predictor | web) ;;
    *) die "${EX_USAGE}" "Kafka's users are admin, producer, predictor and web, not ${user}" ;;
  esac
  password=$(setting "STREAMFOREST_KAFKA_$(tr '[:lower:]' '[:upper:]' <<<"${user}")_PASSWORD")
  printf 'bootstrap.servers=127.0.0.1:%s\n' "$(setting KAFKA_PORT 9092)"
  if is_tls; then
    # In one line, as properties files write it.
    printf 'security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.certificates=%s\n' \
      "$(authority | awk '{ printf "%s\\n", $0 }')"
  else
    printf 'security.protocol=SASL_PLAINTEXT\n'
  fi
  printf 'sasl.mechanism=SCRAM-SHA-512\n'
  printf 'sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";\n' \
    "${user}" "${password}"
}

# update  make images and settings fit the code as it is now, and restart what changed
cmd_update() {
  need_engine
  renew_dotenv
  cmd_create_images
  cmd_start
}

# smoke  check a running platform end to end
cmd_smoke() {
  need_engine
  check_dotenv
  [[ -n "$(services_of_installation)" ]] || die "${EX_UNAVAILABLE}" "nothing runs here; start it: ./control_env.sh start"
  smoke || exit "${EX_UNAVAILABLE}"
}

# cleanup [--yes]  remove containers, volumes, networks, images and .env; data, models and predictions stay
cmd_cleanup() {
  local answer=""
  [[ -z "${1:-}" || "$1" == --yes ]] || die "${EX_USAGE}" "cleanup takes --yes, not $1"
  need_engine
  if [[ "${1:-}" != --yes ]]; then
    say "this removes the containers, networks, images and volumes of project $(project) (Airflow's history, MLflow's runs,"
    say "Kafka's messages, Mongo's documents), and ${DOTENV}; data/, model/ and predictions/ stay"
    printf 'remove them? [y/N] ' >&2
    read -r answer || true
    [[ "${answer}" == [yY]* ]] || die "${EX_USAGE}" "nothing was removed"
  fi
  remove_project
}

# --- Compose ---

project() { setting COMPOSE_PROJECT_NAME streamforest; }

profile() { setting COMPOSE_PROFILES full; }

compose() {
  local files=(--file "${ROOT}/docker-compose.yml")
  [[ -z "$(setting STREAMFOREST_ADDRESS)" ]] || files+=(--file "${ROOT}/docker/machines.yml")
  ! is_tls || files+=(--file "${ROOT}/docker/tls.yml")
  COMPOSE_PROJECT_NAME=$(project) COMPOSE_PROFILES=$(profile) STREAMFOREST_FILES=$(files_folder) \
    docker compose --project-directory "${ROOT}" "${files[@]}" --env-file "${DOTENV}" "$@"
}

# Run a command in a container beside the services, without what compose tells of its own doing.
run_once() {
  compose run --rm --no-deps --quiet-pull "$@" 2> >(grep -v -e '^ *Container ' -e '^ *Network ' -e '^ *Volume ' >&2)
}

is_tls() { [[ "$(setting STREAMFOREST_TLS off)" == on ]]; }

need_engine() {
  command -v docker >/dev/null || die "${EX_UNAVAILABLE}" "no docker; ./control_env.sh doctor tells more"
  [[ -n "$(engine_facts)" ]] || die "${EX_UNAVAILABLE}" "$(describe_silent_engine)"
}

# Print the address by which the machine at $1 sees this one, where that can be told.
own_address() {
  command -v ip >/dev/null || return 0
  ip route get "$1" 2>/dev/null | sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p'
}

is_open() { timeout 5 bash -c ": </dev/tcp/$1/$2" 2>/dev/null; }

# --- Images ---

check_builder() {
  check_engine || return
  docker buildx version >/dev/null 2>&1 ||
    { row MISSING builder "no docker buildx; install the plugin docker-buildx-plugin (Debian: docker-buildx)" && return 1; }
}

build_images() {
  local name revision tag
  tag=$(setting STREAMFOREST_TAG local)
  revision=$(git -C "${ROOT}" rev-parse HEAD 2>/dev/null) || revision=unknown
  [[ -z "$(git -C "${ROOT}" status --porcelain -uno 2>/dev/null)" ]] || revision+="+changes"
  for name in "${OWN_IMAGES[@]}"; do
    say "--- image ${name}"
    DOCKER_BUILDKIT=1 docker build --quiet --file "${ROOT}/docker/Dockerfile" --target "${name}" \
      --tag "streamforest/${name}:${tag}" --build-arg "REVISION=${revision}" "${ROOT}" >/dev/null || return
  done
}

# --- Start ---

# Folders exist before the engine would make them as root, and belong to the user that containers run as.
own_folders() {
  local name user
  # Read by users of the published images; a checkout made under a strict umask would keep them out.
  chmod -R a+rX -- "${ROOT}/docker/kafka" "${ROOT}/docker/postgres"
  for name in data model predictions notebook; do mkdir -p -- "$(files_folder)/${name}"; done
  ((EUID == 0)) || return 0
  user=$(setting STREAMFOREST_UID)
  for name in data model predictions notebook; do
    find "$(files_folder)/${name}" ! -uid "${user}" -exec chown -h "${user}:$(setting STREAMFOREST_GID)" {} +
  done
}

warn_of_publication() {
  local bind
  bind=$(setting STREAMFOREST_BIND 127.0.0.1)
  [[ "${bind}" == 127.0.0.1 || "${bind}" == localhost ]] ||
    say "warning: STREAMFOREST_BIND=${bind} opens MLflow and Spark's page, which ask for no password, to other machines"
}

# Keys and certificates of what is published, where they are asked for; what is good stays as it is.
make_certificates() {
  local digest
  is_tls || return 0
  digest=$(run_once certificates python -P -m streamforest.platform.certificates /certificates \
    "$(certificate_names)" kafka=1000 web="$(setting STREAMFOREST_UID)") ||
    die "${EX_UNAVAILABLE}" "certificates could not be made (see above)"
  export STREAMFOREST_CERTIFICATES=${digest}
}

# Print the names by which clients may call what is published, with commas between them.
certificate_names() {
  local name names=localhost,127.0.0.1,::1
  for name in "$(setting STREAMFOREST_BIND 127.0.0.1)" "$(setting STREAMFOREST_ADDRESS)" "$(setting STREAMFOREST_TLS_NAMES)"; do
    [[ -z "${name}" || "${name}" == 0.0.0.0 || "${name}" == :: ]] || names+=",${name}"
  done
  printf '%s' "${names}"
}

# Print the certificate of this installation's authority.
authority() {
  is_tls || die "${EX_DATA}" "STREAMFOREST_TLS is not on, so there is no authority; set it in ${DOTENV} and start again"
  need_engine
  docker run --rm --network none --volume "$(project)_certificates:/certificates:ro" --entrypoint cat \
    "streamforest/spark:$(setting STREAMFOREST_TAG local)" /certificates/ca.pem 2>/dev/null ||
    die "${EX_DATA}" "there is no authority yet; it is made by: ./control_env.sh start"
}

bring_up() {
  local limit
  limit=$(setting STREAMFOREST_START_LIMIT_S "${START_LIMIT_S}")
  remove_left_out
  # Compose itself waits for what others depend on; what does not become healthy is named below.
  compose up --detach --no-build --remove-orphans --quiet-pull >/dev/null 2>"${TMPDIR:-/tmp}/streamforest-up-$$" || {
    wait_for_health 0 || true
    tail -n 5 "${TMPDIR:-/tmp}/streamforest-up-$$" >&2
    rm -f -- "${TMPDIR:-/tmp}/streamforest-up-$$"
    die "${EX_UNAVAILABLE}" "not all services could be started (see above)"
  }
  rm -f -- "${TMPDIR:-/tmp}/streamforest-up-$$"
  wait_for_health "${limit}" || die "${EX_UNAVAILABLE}" "not healthy within ${limit} s; look at: ./control_env.sh logs"
}

# Services that the profile or a setting leaves out now; their volumes stay. Compose would let them run on.
remove_left_out() {
  local wanted left
  wanted=$(compose config --services)
  left=$(services_of_installation | awk '{ print $1 }' | grep -vxF -- "${wanted}") || return 0
  say "stopping what the settings leave out now: ${left//$'\n'/, }"
  # shellcheck disable=SC2086  # one word a service
  compose --profile "*" rm --stop --force ${left} >/dev/null 2>&1 || say "not all of it could be stopped"
}

# Return when every service is healthy; fail after $1 seconds, or when one has ended, with its last words.
wait_for_health() {
  local deadline=$((SECONDS + $1)) name
  until all_healthy; do
    if ((SECONDS >= deadline)) || [[ -n "$(ended_services)" ]]; then
      print_status >&2
      for name in $(unhealthy_services); do
        say "--- last words of ${name}"
        compose --profile "*" logs --no-color --no-log-prefix --tail 15 "${name}" >&2 || true
      done
      return 1
    fi
    sleep 1
  done
}

# Print service, state, health and exit code of each container of this installation.
services_of_installation() {
  local ids
  ids=$(docker ps --all --quiet --filter "label=com.docker.compose.project=$(project)" --filter "label=com.docker.compose.oneoff=False")
  [[ -n "${ids}" ]] || return 0
  # shellcheck disable=SC2086  # one word an id
  docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}} {{.State.ExitCode}}' ${ids} | sort
}

# A service is well when it is healthy; what only prepares others, when it ended with 0.
unhealthy_services() {
  services_of_installation | awk '!($3 == "healthy" || $3 == "-" && $2 == "exited" && $4 == 0) { print $1 }'
}

ended_services() { services_of_installation | awk '$2 == "exited" && $4 != 0 || $2 == "dead" { print $1 }'; }

all_healthy() { [[ -n "$(services_of_installation)" && -z "$(unhealthy_services)" ]]; }

# --- Evidence ---

# What the streams do now, by the metrics that they serve where their drivers run; nothing where that is down.
print_streams() {
  local told
  told=$(compose exec -T airflow-scheduler /opt/streamforest/venv/bin/python -P \
    -m streamforest.platform.streams activity=9464 flights=9465 2>/dev/null) || return 0
  printf '\n%s\n' "${told}"
}

print_status() {
  local service state health code address
  printf '%-24s%-12s%-12s%s\n' service state health address
  while read -r service state health code; do
    case "${service}" in
      master) address=$(address SPARK_PORT 8080) ;;
      airflow) address=$(address AIRFLOW_PORT 9090) ;;
      mlflow) address=$(address MLFLOW_PORT 5000) ;;
      web) address=$(web_address) ;;
      jupyter) address=$(address JUPYTER_PORT 8888) ;;
      kafka) address="127.0.0.1:$(setting KAFKA_PORT 9092)" ;;
      *) address="" ;;
    esac
    [[ "${state}" != exited ]] || health="ended ${code}"
    printf '%-24s%-12s%-12s%s\n' "${service}" "${state}" "${health}" "${address}" | sed 's/ *$//'
  done < <(services_of_installation)
}

web_address() {
  local found
  found=$(address WEB_PORT 8000)
  if is_tls; then printf 'https%s' "${found#http}"; else printf '%s' "${found}"; fi
}

address() { printf 'http://127.0.0.1:%s' "$(setting "$1" "$2")"; }

print_addresses() {
  printf '\n%-10s%s\n' Airflow "$(address AIRFLOW_PORT 9090)  (user admin; password: ./control_env.sh token)"
  printf '%-10s%s\n' MLflow "$(address MLFLOW_PORT 5000)"
  printf '%-10s%s\n' Spark "$(address SPARK_PORT 8080)"
  [[ "$(profile)" != full ]] || printf '%-10s%s\n' Jupyter "$(address JUPYTER_PORT 8888)  (token: ./control_env.sh token)" \
    Web "$(web_address)"
  printf '%-10s%s\n' Kafka "127.0.0.1:$(setting KAFKA_PORT 9092)  (login: ./control_env.sh token kafka)"
}

# Health of all containers, then what only a look from inside can tell; fails where one of them does not hold.
smoke() {
  local failed=0
  print_status
  all_healthy || failed=1
  printf '\n'
  run_once --use-aliases --service-ports smoke python -P -m streamforest.platform.smoke "$(profile)" || failed=1
  return "${failed}"
}

# --- Removal ---

# Print the names of volumes that hold data made with secrets.
stored_data() {
  local name
  for name in postgres mongo kafka; do
    ! docker volume inspect "$(project)_${name}" >/dev/null 2>&1 || printf '%s ' "${name}"
  done
}

# By label, so that it works without .env and touches nothing of another project.
remove_project() {
  local label ids tag names
  label="label=com.docker.compose.project=$(project)"
  # Of every profile: another one may have run before.
  tag=$(setting STREAMFOREST_TAG local)
  names=$(printf "streamforest/%s:${tag}\\n" "${OWN_IMAGES[@]}")
  ids=$(docker ps --all --quiet --filter "${label}")
  # shellcheck disable=SC2086  # one word an id
  [[ -z "${ids}" ]] || docker rm --force --volumes ${ids} >/dev/null
  ids=$(docker network ls --quiet --filter "${label}")
  # shellcheck disable=SC2086
  [[ -z "${ids}" ]] || docker network rm ${ids} >/dev/null
  ids=$(docker volume ls --quiet --filter "${label}")
  # shellcheck disable=SC2086
  [[ -z "${ids}" ]] || docker volume rm ${ids} >/dev/null
  # shellcheck disable=SC2086
  docker image rm ${names} >/dev/null 2>&1 || true
  rm -f -- "${DOTENV}"
  say "removed; data, models and predictions are still in $(files_folder)"
}
