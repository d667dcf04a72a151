"""The operator that runs one job of streamforest on the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from streamforest_dags.hook import JobHook
from streamforest_dags.links import MlflowLink, SparkLink

if TYPE_CHECKING:
    from airflow.sdk import Context

_FUTILE = (64, 65)
"""Wrong usage and bad input: another try would end the same."""


class JobOperator(SparkSubmitOperator):  # type: ignore[misc]  # Airflow's classes are Any to mypy
    """Submits ``main.py JOB APPLICATION [options]``; the job's report is what the task returns.

    A job that says that its input or its options are at fault is not tried again.

    Attributes:
        report: the job's report, None before it ended well.
    """

    operator_extra_links = (MlflowLink(), SparkLink())
    report: dict[str, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Run the job to its end and return its report.

        Raises:
            AirflowException: it failed; the message is the job's own line.
        """
        self._hook = hook = self._get_hook()
        try:
            super().execute(context)
        except AirflowException as error:
            kind = AirflowFailException if hook.exit_code in _FUTILE else AirflowException
            raise kind(hook.error or str(error)) from None
        self.report = hook.report
        return self.report

    def _get_hook(self) -> JobHook:
        return JobHook(
            conf=self.conf,
            conn_id=self._conn_id,
            driver_memory=self._driver_memory,
            name=self.name,
            application_args=self.application_args,
            spark_binary=self._spark_binary,
            deploy_mode=self._deploy_mode,
        )
