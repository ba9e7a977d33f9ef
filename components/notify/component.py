from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def notify(
    notification: dsl.Output[dsl.Artifact],
    pipeline_name: str,
    run_id: str,
    status: dsl.PipelineTaskFinalStatus,
    records_uri: str = "",
    webhook_format: str = "auto",
) -> None:
    """Reports how the run ended, from the records of its tasks; it never fails the run.

    Args:
        pipeline_name: Name of the pipeline, for the report.
        run_id: Id of the run, whose records are read.
        status: KFP's state of the run.
        webhook_format: What the webhook takes: slack, teams, plain, or auto to tell by the host of its address.
        notification: JSON with the outcome, the error, the metrics beside the champion's, the verdict of the gate and
            the published version.
    """
    from pathlib import Path

    from components.notify import step

    step.notify(
        Path(notification.path),
        step.NotifyParameters(
            pipeline_name=pipeline_name,
            run_id=run_id,
            state=status.state,
            error_message=status.error_message or "",
            records_uri=records_uri,
            webhook_format=webhook_format,
        ),
    )
