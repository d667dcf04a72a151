#!/usr/bin/env bash
# The one door to streamforest: ./control_env.sh VERB. The list of verbs is made from the comments above the cmd_* below.
set -Eeuo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
ENVIRONMENT="${ROOT}/.venv"
INSTALLER="${ROOT}/.uv"
STAMP="${ENVIRONMENT}/streamforest.stamp"
NEEDED_MB=4000
readonly EX_USAGE=64 EX_DATA=65 EX_UNAVAILABLE=69
PARTS=("${ROOT}/docker/dotenv.sh" "${ROOT}/docker/preflight.sh" "${ROOT}/docker/platform.sh" "${ROOT}/docker/drill.sh")
# shellcheck source=docker/dotenv.sh
source "${PARTS[0]}"
# shellcheck source=docker/preflight.sh
source "${PARTS[1]}"
# shellcheck source=docker/platform.sh
source "${PARTS[2]}"
# shellcheck source=docker/drill.sh
source "${PARTS[3]}"

# demo [activity|flights]  run all six jobs for real, from data to predictions, and end in a table of evidence
cmd_demo() {
  prepare base
  run_python -m streamforest.embedded demo "$@"
}

# test [pytest options]  run every check: format, lint, types, shell, locks, tests (with options: those tests alone)
cmd_test() {
  prepare dev
  cd -- "${ROOT}"
  install_airflow
  if (($#)); then
    run_python -m pytest "$@"
  fi
  install_browser
  run_checks
}

# job JOB APPLICATION [options]  run one job: partition, train, test, sample, produce or consume
cmd_job() {
  prepare base
  run_python -m streamforest.embedded job "$@"
}

# model ACTION APPLICATION  list model versions with verdicts; promote, rollback or repair
cmd_model() {
  prepare base
  run_python -m streamforest.embedded model "$@"
}

# replay APPLICATION [options]  list what the stream refused; put repaired messages back
cmd_replay() {
  prepare base
  run_python -m streamforest.embedded replay "$@"
}

# backup FILE [options]  write models, registry, record and Kafka of a home into one file
cmd_backup() {
  prepare base
  run_python -m streamforest.embedded backup "$@"
}

# restore FILE [options]  put a backup into a home
cmd_restore() {
  prepare base
  run_python -m streamforest.embedded restore "$@"
}

# data [options]  bring the history under data/
cmd_data() {
  prepare base
  run_python -m streamforest.embedded data "$@"
}

# bench NAME [options]  measure batch, stream, scale, quality, flights or web
cmd_bench() {
  prepare dev
  run_python -m bench "$@"
}

# web [--home DIR] [--port N]  open the pages: ask about a flight, see who does what; Ctrl-C ends it
cmd_web() {
  prepare base
  run_python -m streamforest.embedded web "$@"
}

# mlflow [--home DIR] [--port N]  open the page of MLflow over the runs of a home; Ctrl-C ends it
cmd_mlflow() {
  local home="${STREAMFOREST_HOME:-${ROOT}}" port=5000
  while (($#)); do
    case "$1${2:+ with a value}" in
      "--home with a value") home=$2 ;;
      "--port with a value") port=$2 ;;
      *) die "${EX_USAGE}" "mlflow takes --home DIR and --port N, not $*" ;;
    esac
    shift 2
  done
  [[ -f "${home}/model/mlflow.db" ]] ||
    die "${EX_DATA}" "no runs under ${home}/model yet; make some: ./control_env.sh demo"
  prepare base
  home=$(cd -- "${home}" && pwd -P)
  say "MLflow over the runs of ${home}: http://127.0.0.1:${port}"
  run_python -m mlflow server --backend-store-uri "sqlite:///${home}/model/mlflow.db" --host 127.0.0.1 --port "${port}"
}

# setup [base|dev]  bring libraries and jars and run nothing; dev adds what checks and benchmarks need
cmd_setup() {
  case "${1:-dev}" in
    base | dev) prepare "${1:-dev}" ;;
    *) die "${EX_USAGE}" "setup takes base or dev, not $1" ;;
  esac
}

# doctor [platform]  tell what is there, what is missing, and the command that brings it (platform: for containers alone)
cmd_doctor() {
  local status=0
  case "${1:-}" in
    "") ;;
    platform) examine_platform || exit "${EX_UNAVAILABLE}" && return ;;
    *) die "${EX_USAGE}" "doctor takes platform, not $1" ;;
  esac
  printf 'to run jobs on this machine\n'
  check_requirements || status="${EX_UNAVAILABLE}"
  if is_ready base; then
    use_environment
    "${ENVIRONMENT}/bin/python" -P -m streamforest.embedded.doctor || status="${EX_UNAVAILABLE}"
  else
    row "later" "libraries" "not set up; the first verb that needs them does it: ./control_env.sh demo"
  fi
  printf '\nto run the platform (docker compose)\n'
  # Who runs jobs on this machine alone lacks nothing without an engine: the exit code is that of the first part.
  examine_platform || true
  return "${status}"
}

# help  this list
cmd_help() {
  printf 'usage: ./control_env.sh VERB [options]\n\n'
  awk '/^# / { split(substr($0, 3), part, "  ") }
    /^cmd_[a-z_]+\(\)/ { printf "  %-34s %s\n", part[1], part[2] }' "${BASH_SOURCE[0]}" "${PARTS[@]}"
}

say() { printf '%s\n' "$*" >&2; }

die() {
  local status=$1
  shift
  say "error: $*"
  exit "${status}"
}

# --- Requirements: looked at before anything is downloaded ---

row() { printf '%-8s%-12s%s\n' "$1" "$2" "$3"; }

# Print a row for each requirement; fail where one is missing.
check_requirements() {
  local failed=0 python major free_mb
  if python=$(find_python); then
    row ok python "${python} ($("${python}" -c 'import platform; print(platform.python_version())'))"
  else
    row MISSING python "$(describe_unfit_python); $(install_hint python)"
    failed=1
  fi
  major=$(java_major) || major=""
  case "${major}" in
    17 | 21) row ok java "$(java_command) (${major})" ;;
    "") row MISSING java "no java in ${JAVA_HOME:+JAVA_HOME=}${JAVA_HOME:-PATH}; $(install_hint java)" && failed=1 ;;
    *) row MISSING java "$(java_command) is Java ${major}, unfit: 17 or 21 is needed; $(install_hint java)" && failed=1 ;;
  esac
  free_mb=$(($(df -Pk -- "${ROOT}" | awk 'NR == 2 { print $4 }') / 1024))
  if ((free_mb >= NEEDED_MB)) || is_ready base; then
    row ok disk "${free_mb} MB free at ${ROOT}"
  else
    row MISSING disk "${free_mb} MB free at ${ROOT}, ${NEEDED_MB} MB are needed; free some"
    failed=1
  fi
  return "${failed}"
}

# Print the path of a Python that fits, or fail.
find_python() {
  local name path names=(python3.13 python3.12 python3.11 python3)
  local ask='import ensurepip, sys, venv; print(sys.executable if (3, 11) <= sys.version_info[:2] <= (3, 13) else "")'
  [[ -z "${STREAMFOREST_PYTHON:-}" ]] || names=("${STREAMFOREST_PYTHON}")
  for name in "${names[@]}"; do
    # Each is run, not only looked up: a version manager's shim may stand on PATH with nothing behind it.
    path=$("${name}" -c "${ask}" 2>/dev/null) || path=""
    if [[ -n "${path}" ]]; then
      printf '%s\n' "${path}"
      return
    fi
  done
  return 1
}

describe_unfit_python() {
  local name=${STREAMFOREST_PYTHON:-python3} version
  version=$("${name}" -c 'import platform; print(platform.python_version())' 2>/dev/null) || version=""
  case "${version}" in
    "") printf 'no %s' "${name}" ;;
    3.11.* | 3.12.* | 3.13.*) printf '%s is %s but lacks venv' "${name}" "${version}" ;;
    *) printf '%s is %s, unfit: 3.11 to 3.13 is needed' "${name}" "${version}" ;;
  esac
}

java_command() {
  if [[ -n "${JAVA_HOME:-}" ]]; then printf '%s\n' "${JAVA_HOME}/bin/java"; else command -v java; fi
}

# Print the major version of Java, or fail. The file `release` beside it answers in no time, java itself takes 0.1 s.
java_major() {
  local java release version=""
  java=$(java_command) && [[ -x "${java}" ]] || return 1
  release="$(dirname -- "$(readlink -f -- "${java}" 2>/dev/null || printf '%s' "${java}")")/../release"
  [[ ! -r "${release}" ]] || version=$(sed -n 's/^JAVA_VERSION="\(.*\)"$/\1/p' "${release}")
  [[ -n "${version}" ]] || version=$("${java}" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p')
  version=${version#1.} # Java 8 calls itself 1.8
  [[ -n "${version}" ]] && printf '%s\n' "${version%%[.+-]*}"
}

# Print the command that installs $1 (python or java) here.
install_hint() {
  local as_root="sudo " jdk=17
  ((EUID != 0)) || as_root=""
  if command -v apt-get >/dev/null; then
    # Debian 13 has 21 and no 17, Debian 12 the other way round.
    if apt-cache show openjdk-21-jre-headless >/dev/null 2>&1; then jdk=21; fi
    case "$1" in
      python) printf 'install it: %sapt-get install python3 python3-venv' "${as_root}" ;;
      java) printf 'install it: %sapt-get install openjdk-%s-jre-headless' "${as_root}" "${jdk}" ;;
    esac
  elif command -v dnf >/dev/null; then
    case "$1" in
      python) printf 'install it: %sdnf install python3.12' "${as_root}" ;;
      java) printf 'install it: %sdnf install java-21-openjdk-headless' "${as_root}" ;;
    esac
  elif command -v brew >/dev/null; then
    case "$1" in
      python) printf 'install it: brew install python@3.13' ;;
      java) printf 'install it: brew install openjdk@21, and set JAVA_HOME to what brew --prefix openjdk@21 prints' ;;
    esac
  else
    case "$1" in
      python) printf 'install Python 3.11, 3.12 or 3.13, or name one in STREAMFOREST_PYTHON' ;;
      java) printf 'install Java 17 or 21, or point JAVA_HOME at it' ;;
    esac
  fi
}

# --- Set-up: once, until a lock file or the place changes ---

# Print what the environment is made of: where it lies and the content of the lock files.
fingerprint() {
  local digest=(sha256sum)
  command -v sha256sum >/dev/null || digest=(shasum -a 256)
  { printf '%s\n' "${ROOT}" && cat -- "${ROOT}"/requirements/*.lock "${ROOT}/jars.lock"; } | "${digest[@]}" | cut -c1-64
}

# True where everything for level $1 (base or dev) was set up to its end. The level dev holds base.
is_ready() {
  local level made
  [[ -x "${ENVIRONMENT}/bin/python" && -r "${STAMP}" ]] || return 1
  read -r level made <"${STAMP}" || return 1
  [[ "${made}" == "$(fingerprint)" && ("${level}" == "$1" || "${level}" == dev) ]] || return 1
  [[ -z "${STREAMFOREST_PYTHON:-}" ]] || same_python
}

# True where the environment runs on the Python that STREAMFOREST_PYTHON names.
same_python() {
  local ask='import platform, sys; print(sys.base_prefix, platform.python_version())'
  [[ "$("${ENVIRONMENT}/bin/python" -c "${ask}")" == "$("${STREAMFOREST_PYTHON}" -c "${ask}" 2>/dev/null)" ]]
}

# Make sure that level $1 is set up, after a look at what it needs.
prepare() {
  local report
  if is_ready "$1"; then
    case "$(java_major || true)" in 17 | 21) return ;; esac
  fi
  if ! report=$(check_requirements); then
    printf '%s\n' "${report}" >&2
    die "${EX_UNAVAILABLE}" "something that is needed is missing (see above); nothing was downloaded"
  fi
  set_up "$1" "$(find_python)"
}

set_up() {
  local level=$1 python=$2 started=${SECONDS}
  # Two set-ups wait for each other. The lock belongs to the open file, so it goes with the last process that has it.
  exec 9>"${ROOT}/.venv.lock"
  "${python}" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || {
    say "another set-up is at work here; waiting for it"
    "${python}" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
  }
  if ! is_ready "${level}"; then
    say "set-up (${level}): libraries and jars, once; about two minutes with downloads"
    install_uv "${python}" || die "${EX_UNAVAILABLE}" "uv could not be installed; check the network and run it again"
    install_libraries "${level}" "${python}" ||
      die "${EX_UNAVAILABLE}" "the libraries could not be installed; check the network and run it again"
    use_environment
    "${ENVIRONMENT}/bin/python" -P -m streamforest.jars fetch || exit
    # Written last and at once: a set-up that was cut off leaves nothing that looks finished.
    printf '%s %s\n' "${level}" "$(fingerprint)" >"${STAMP}.new"
    mv -f -- "${STAMP}.new" "${STAMP}"
    say "set-up (${level}): done in $((SECONDS - started)) s"
  fi
  exec 9>&-
}

# uv in an environment of its own, by pip and with its hash checked.
install_uv() {
  local python=$1 lock="${ROOT}/requirements/tools.lock"
  if cmp -s -- "${lock}" "${INSTALLER}/tools.lock" && "${INSTALLER}/bin/uv" --version >/dev/null 2>&1; then
    return
  fi
  rm -rf -- "${INSTALLER}" &&
    "${python}" -m venv "${INSTALLER}" &&
    "${INSTALLER}/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "${lock}" &&
    cp -- "${lock}" "${INSTALLER}/tools.lock"
}

install_libraries() {
  local level=$1 python=$2
  export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_PYTHON_DOWNLOADS=never
  # `dev` only adds to `base`; everything else is made anew, which takes seconds once uv has the files.
  if ! is_ready base; then
    { rm -rf -- "${ENVIRONMENT}" && "${INSTALLER}/bin/uv" venv --quiet --python "${python}" "${ENVIRONMENT}"; } || return
  fi
  # Compiled now, because where Python may not write its cache each start would compile all of it again.
  set -- --python "${ENVIRONMENT}/bin/python" --require-hashes --compile-bytecode \
    --build-constraints "${ROOT}/requirements/tools.lock" -r "${ROOT}/requirements/${level}.lock"
  # Bars on a terminal; elsewhere uv would list a hundred packages.
  [[ -t 2 ]] || set -- --quiet "$@"
  "${INSTALLER}/bin/uv" pip install "$@"
}

# Airflow in an environment of its own, for the tests of its DAGs; without it they are skipped and say so.
install_airflow() {
  local lock="${ROOT}/airflow/requirements.lock" folder="${ROOT}/.venv-airflow"
  [[ -r "${lock}" ]] && ! cmp -s -- "${lock}" "${folder}/requirements.lock" || return 0
  say "set-up (airflow): libraries, once; about a minute with downloads"
  export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_PYTHON_DOWNLOADS=never
  rm -rf -- "${folder}"
  # The lock is copied last: a set-up that was cut off leaves nothing that looks finished.
  {
    "${INSTALLER}/bin/uv" venv --quiet --python "${ENVIRONMENT}/bin/python" "${folder}" &&
      "${INSTALLER}/bin/uv" pip install --quiet --python "${folder}/bin/python" --require-hashes --compile-bytecode \
        --build-constraints "${ROOT}/requirements/tools.lock" -r "${lock}" &&
      cp -- "${lock}" "${folder}/requirements.lock"
  } || say "Airflow's environment could not be set up; the tests of its DAGs will be skipped"
}

# --- Running ---

# What every Python of this project is started with, Spark's workers included.
use_environment() {
  export PYTHONPATH="${ROOT}/code:${ROOT}"
  export PYSPARK_PYTHON="${ENVIRONMENT}/bin/python" PYSPARK_DRIVER_PYTHON="${ENVIRONMENT}/bin/python"
  export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}"
  # Another Spark or Python on this machine must not mix with ours.
  unset SPARK_HOME SPARK_CONF_DIR PYTHONHOME
}

# Become Python, so that signals reach it and its status is ours. -P: the folder one stands in is no place for modules.
run_python() {
  use_environment
  exec "${ENVIRONMENT}/bin/python" -P "$@"
}

# The pages are looked at in Chromium and driven by its driver; without them those tests are skipped and say so.
install_browser() {
  local missing=()
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    missing+=(chromium)
  command -v chromedriver >/dev/null || missing+=(chromium-driver)
  if ((${#missing[@]})) && ((EUID == 0)) && command -v apt-get >/dev/null; then
    say "installing ${missing[*]} for the tests of the pages"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"; } \
      </dev/null >/dev/null 2>&1 || say "they could not be installed; their tests will be skipped"
  fi
}

# Every check, also after one that failed; pytest's summary comes last.
run_checks() {
  local failed=""
  use_environment
  PATH="${ENVIRONMENT}/bin:${PATH}"
  check() {
    local name=$1 started=${SECONDS}
    shift
    say "--- ${name}"
    "$@" || failed+=" ${name}"
    say "--- ${name}: $((SECONDS - started)) s"
  }
  check format ruff format --check .
  check lint ruff check .
  check types mypy
  check shell shellcheck -x control_env.sh docker/*.sh docker/*/*.sh requirements/lock.sh requirements/audit.sh .ci/run
  check locks requirements/lock.sh check
  # More than two Spark sessions at a time would measure the machine's memory, not our code.
  check tests python -m pytest -n 2 --dist loadfile
  say "--- ${SECONDS} s in all${failed:+; failed:${failed}}"
  [[ -z "${failed}" ]]
}

verb=${1:-help}
case "${verb}" in
  -h | --help) verb=help ;;
esac
if [[ "${verb}" =~ ^[a-z-]+$ ]] && declare -F "cmd_${verb//-/_}" >/dev/null; then
  (($# == 0)) || shift
  "cmd_${verb//-/_}" "$@"
else
  say "error: no verb ${verb}"
  cmd_help >&2
  exit "${EX_USAGE}"
fi
