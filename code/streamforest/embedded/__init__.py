"""The platform on one machine without containers: jars, a Kafka broker and the checks of what is installed."""
