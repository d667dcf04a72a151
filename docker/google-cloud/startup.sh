#!/bin/bash
# Start-up file of one virtual machine with Debian 13, as root: from nothing to a running platform. Harmless at each boot.
#   startup.sh [STEP ...]   without steps, all: install, user, code, start
# Where the code comes from is the instance's attribute `source`, anything that git can clone.
set -Eeuo pipefail

SOURCE=${STREAMFOREST_SOURCE:-}
OWNER=streamforest
FOLDER=/srv/checkout

say() { printf 'streamforest: %s\n' "$*"; }

attribute() {
  curl --silent --fail --max-time 5 -H 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

# The engine with compose and buildx, from Debian's own packages; it starts by itself at each boot.
step_install() {
  say "installing the engine"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    ca-certificates curl docker-buildx docker-cli docker-compose docker.io git iproute2 >/dev/null
}

# The platform runs as nobody else; who is in the group docker may do what root may.
step_user() {
  id "${OWNER}" >/dev/null 2>&1 || useradd --system --create-home --shell /bin/bash "${OWNER}"
  usermod --append --groups docker "${OWNER}"
}

step_code() {
  [[ -n "${SOURCE}" ]] || SOURCE=$(attribute source) || {
    say "error: the instance has no attribute source; set it to what git can clone" >&2
    exit 64
  }
  install --directory --owner "${OWNER}" --group "${OWNER}" "${FOLDER}"
  if [[ -d "${FOLDER}/.git" ]]; then
    say "the code is there; ./control_env.sh update takes a newer one"
  else
    runuser --user "${OWNER}" -- git clone --quiet --depth 1 "${SOURCE}" "${FOLDER}"
  fi
}

step_start() {
  runuser --user "${OWNER}" -- "${FOLDER}/control_env.sh" create-images
  runuser --user "${OWNER}" -- "${FOLDER}/control_env.sh" start
}

(($#)) || set -- install user code start
for step in "$@"; do
  declare -F "step_${step}" >/dev/null || {
    say "error: no step ${step}; there are install, user, code and start" >&2
    exit 64
  }
  "step_${step}"
done
say "done: $*"
