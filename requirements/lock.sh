#!/usr/bin/env bash
# Lock files of Python packages: names, versions and hashes, no address.
#   lock.sh write [uv's options]   resolve anew; pins stay unless told otherwise (--upgrade, --upgrade-package NAME)
#   lock.sh check                  resolve with the pins of today and compare
set -Eeuo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
UV=.uv/bin/uv
[[ -x "${UV}" ]] || UV=uv
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"

# Resolve all lock files into requirements/ and airflow/ below folder $1, starting from the pins that are there; the rest
# are options for uv.
resolve() {
  local root=$1 folder=$1/requirements
  shift
  local options=(--quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@")
  "${UV}" pip compile "${options[@]}" requirements/tools.in -o "${folder}/tools.lock" >/dev/null &&
    "${UV}" pip compile "${options[@]}" pyproject.toml -o "${folder}/base.lock" >/dev/null &&
    # What two of them hold has one version: the others are resolved within the pins of `base`, `notebook` of `dev`.
    resolve_extra "${folder}" dev --extra notebook --constraints "${folder}/base.lock" "${options[@]}" &&
    resolve_extra "${folder}" notebook --constraints "${folder}/dev.lock" "${options[@]}" &&
    resolve_extra "${folder}" server --constraints "${folder}/base.lock" "${options[@]}" &&
    # An environment of its own, whose versions are no concern of the others.
    "${UV}" pip compile "${options[@]}" --no-annotate airflow/requirements.in \
      -o "${root}/airflow/requirements.lock" >/dev/null
}

# Resolve the lock file of extra $2 into folder $1; the rest are options for uv.
resolve_extra() {
  local folder=$1 extra=$2
  shift 2
  "${UV}" pip compile "$@" --no-annotate pyproject.toml --extra "${extra}" -o "${folder}/${extra}.lock" >/dev/null
}

check() {
  local folder status=0 name
  folder=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of this call
  trap "rm -rf -- '${folder}'" EXIT
  mkdir -- "${folder}/requirements" "${folder}/airflow"
  cp -- requirements/*.lock "${folder}/requirements"
  cp -- airflow/requirements.lock "${folder}/airflow"
  resolve "${folder}" --no-progress || status=$?
  case "${status}" in
    0) ;;
    # uv ends with 1 where no versions fit together, with 2 where it could not ask.
    2) printf 'locks: not resolved again, the package index does not answer here\n' >&2 && return ;;
    *) return "${status}" ;;
  esac
  for name in requirements/{tools,base,dev,notebook,server}.lock airflow/requirements.lock; do
    if ! diff -u "${name}" "${folder}/${name}"; then
      printf 'error: %s is not what it is made from; run: make locks\n' "${name}" >&2
      status=1
    fi
  done
  return "${status}"
}

case "${1:-}" in
  write) shift && resolve . "$@" ;;
  check) check ;;
  *) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2 && exit 64 ;;
esac
