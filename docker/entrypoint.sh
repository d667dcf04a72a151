#!/bin/bash
# Prepare, then become the service: master, worker, driver-less commands, mlflow-server, jupyter-lab, airflow ...
set -Eeuo pipefail

die() {
  printf 'error: %s\n' "$*" >&2
  exit 64
}

# Give the user id a name where the image knows none: Hadoop's login fails without one.
name_user() {
  local library folder
  if getent passwd "$(id -u)" >/dev/null; then return; fi
  library=$(find /usr/lib -name libnss_wrapper.so -print -quit)
  folder=$(mktemp -d)
  printf 'streamforest:x:%s:%s::/tmp:/usr/sbin/nologin\n' "$(id -u)" "$(id -g)" >"${folder}/passwd"
  printf 'streamforest:x:%s:\n' "$(id -g)" >"${folder}/group"
  export LD_PRELOAD="${library}" NSS_WRAPPER_PASSWD="${folder}/passwd" NSS_WRAPPER_GROUP="${folder}/group"
  # Airflow asks the environment.
  export LOGNAME=streamforest USER=streamforest
}

# Give Spark its secret in a file that this container alone has: a driver takes it from its configuration and nowhere
# else, and as an option it would stand on a command line.
configure_spark() {
  [[ -n "${_SPARK_AUTH_SECRET:-}" ]] || return 0
  local folder=/tmp/spark-conf
  mkdir -p "${folder}"
  cp -- "${SPARK_CONF_DIR}"/* "${folder}/"
  (umask 077 && printf '\nspark.authenticate.secret %s\n' "${_SPARK_AUTH_SECRET}" |
    cat "${SPARK_CONF_DIR}/spark-defaults.conf" - >"${folder}/.new")
  mv -f -- "${folder}/.new" "${folder}/spark-defaults.conf"
  export SPARK_CONF_DIR="${folder}"
}

# Print the value of variable $1, which the service cannot do without.
required() {
  [[ -n "${!1:-}" ]] || die "$1 is not set; the service is started by ./control_env.sh start"
  printf '%s' "${!1}"
}

become_master() {
  required _SPARK_AUTH_SECRET >/dev/null
  exec "${SPARK_HOME}/bin/spark-class" org.apache.spark.deploy.master.Master \
    --host "${SPARK_MASTER_HOST:-$(hostname)}" --port 7077 --webui-port 8080
}

# worker [MASTER_URL]: offer cores and memory to a master, under the name by which other machines reach this one.
become_worker() {
  required _SPARK_AUTH_SECRET >/dev/null
  exec "${SPARK_HOME}/bin/spark-class" org.apache.spark.deploy.worker.Worker \
    --host "${SPARK_WORKER_HOST:-$(hostname)}" --port 40300 --webui-port 8081 --work-dir /srv/scratch/work \
    "${1:-spark://master:7077}"
}

become_mlflow() {
  local store
  store="postgresql+psycopg2://mlflow:$(required MLFLOW_DB_PASSWORD)@postgres-airflow:5432/mlflow"
  unset MLFLOW_DB_PASSWORD
  export MLFLOW_BACKEND_STORE_URI="${store}"
  exec python -P -m mlflow server --host 0.0.0.0 --port 5000 --workers "${MLFLOW_WORKERS:-1}" \
    --serve-artifacts --artifacts-destination /srv/mlflow \
    --allowed-hosts "${MLFLOW_ALLOWED_HOSTS:-mlflow:5000,localhost:5000,127.0.0.1:5000}"
}

become_jupyter() {
  required JUPYTER_TOKEN >/dev/null
  exec python -P -m jupyterlab --ip 0.0.0.0 --port 8888 --no-browser --ServerApp.root_dir=/srv/streamforest/notebook \
    --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate
}

# Addresses and files that hold secrets, made here, since none may stand in a file of the image.
prepare_airflow() {
  local database
  database="postgresql+psycopg2://airflow:$(required AIRFLOW_DB_PASSWORD)@postgres-airflow:5432/airflow"
  unset AIRFLOW_DB_PASSWORD
  export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="${database}"
  export AIRFLOW_CONN_SPARK_DEFAULT="${AIRFLOW_CONN_SPARK_DEFAULT:-spark://master:7077}"
  if [[ -n "${AIRFLOW_PASSWORD:-}" ]]; then
    (umask 077 && printf '{"%s": "%s"}\n' "${AIRFLOW_USER:-admin}" "${AIRFLOW_PASSWORD}" >/tmp/passwords.json)
    unset AIRFLOW_PASSWORD
  fi
}

# airflow-init: the database's tables, and the pool that keeps jobs from waiting on the cluster.
init_airflow() {
  prepare_airflow
  /opt/airflow/venv/bin/airflow db migrate
  exec /opt/airflow/venv/bin/airflow pools set default_pool \
    "${AIRFLOW_POOL_SLOTS:-$((2 * ${SPARK_WORKER_CORES:-3}))}" "cores of the Spark workers"
}

become_airflow() {
  prepare_airflow
  exec /opt/airflow/venv/bin/airflow "$@"
}

name_user
configure_spark
case "${1:-}" in
  master) become_master ;;
  worker) shift && become_worker "$@" ;;
  mlflow-server) become_mlflow ;;
  jupyter-lab) become_jupyter ;;
  airflow-init) init_airflow ;;
  airflow) shift && become_airflow "$@" ;;
  "") die "give a service (master, worker, mlflow-server, jupyter-lab, airflow) or a command" ;;
  *) exec "$@" ;;
esac
