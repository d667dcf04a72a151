"""What the DAG files share: the operator that submits a job, the sensor that waits in a home, and the factory."""
