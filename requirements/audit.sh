#!/usr/bin/env bash
# Known weaknesses of what is locked; where nobody can be asked, how old the locks are.
#   audit.sh [LIMIT_DAYS]   ends 1 with a weakness, or with locks older than the limit (90) that could not be checked
set -Eeuo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
AUDIT=.venv/bin/pip-audit
LOCKS=(requirements/base.lock requirements/server.lock)

# Days since the newest change of lock $1, as git knows it.
age_days() {
  local changed
  changed=$(git log -1 --format=%ct -- "$1" 2>/dev/null) || changed=""
  [[ -n "${changed}" ]] || changed=$(stat -c %Y -- "$1")
  printf '%s\n' $((($(date +%s) - changed) / 86400))
}

audit() {
  local limit=${1:-90} lock output status=0 days
  for lock in "${LOCKS[@]}"; do
    days=$(age_days "${lock}")
    if output=$("${AUDIT}" --disable-pip --require-hashes --progress-spinner off -r "${lock}" 2>&1); then
      printf '%s: nothing known against it, %s days old\n' "${lock}" "${days}"
    elif [[ "${output}" == *"known vulnerabilit"* ]]; then
      printf '%s\n' "${output}"
      printf 'error: %s holds known weaknesses; run: make locks UPGRADE=1\n' "${lock}" >&2
      status=1
    else
      printf '%s: could not be checked here, %s days old\n' "${lock}" "${days}"
      if ((days > limit)); then
        printf 'error: %s is older than %s days; run: make locks UPGRADE=1\n' "${lock}" "${limit}" >&2
        status=1
      fi
    fi
  done
  return "${status}"
}

case "${1:-}" in
  "" | [0-9]*) audit "$@" ;;
  *) sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" >&2 && exit 64 ;;
esac
