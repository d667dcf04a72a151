"""The stream: Kafka's topics, decoding, micro-batches, their state and their record."""
