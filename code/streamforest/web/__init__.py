"""The web pages: asks for predictions through Kafka, shows the answers, and who is doing what now."""
