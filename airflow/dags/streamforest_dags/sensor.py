"""The sensor that waits for a file of the home."""

from __future__ import annotations

from airflow.providers.standard.sensors.filesystem import FileSensor

from streamforest_dags import settings


class HomeSensor(FileSensor):  # type: ignore[misc]  # Airflow's classes are Any to mypy
    """Waits for a file below the home (a glob is allowed), in the triggerer: it holds no worker while it waits."""

    @property
    def path(self) -> str:
        """Where it looks; known on the worker alone, so that parsing asks for no connection."""
        return str(settings.load().home / self.filepath)
