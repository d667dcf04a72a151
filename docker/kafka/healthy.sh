#!/bin/bash
# Health check: the admin logs in where containers do, which holds once kafka-access has made the users.
set -Eeuo pipefail

umask 077
cat >/tmp/admin.properties <<PROPERTIES
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="${STREAMFOREST_KAFKA_ADMIN_PASSWORD}";
PROPERTIES
# Its own process small: each look starts a JVM.
export KAFKA_HEAP_OPTS=-Xmx64m
exec /opt/kafka/bin/kafka-topics.sh --bootstrap-server kafka:19092 --command-config /tmp/admin.properties --list >/dev/null
