from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish(
    index: dsl.Input[dsl.Model],
    model: dsl.Input[dsl.Model],
    vocabulary: dsl.Input[dsl.Dataset],
    metrics: dsl.Input[dsl.Metrics],
    manifest: dsl.Output[dsl.Artifact],
    publication_key: str,
    serving_uri: str = "",
    verdict: dsl.Input[dsl.Artifact] = None,
    verification: dsl.Input[dsl.Metrics] = None,
    refit_on_test: bool = True,
    champion_version: int = -1,
    keep_versions: int = 5,
    gate_override: str = "",
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> int:
    """Publishes the index with its towers and vocabulary as the next version of a serving location.

    Args:
        index: SavedModel of the index.
        model: SavedModel of both towers.
        vocabulary: The vocabulary artifact.
        metrics: JSON with the metrics of the evaluated model.
        verdict: JSON with the verdict of the gate.
        verification: JSON of verify, about a model that was trained on all splits.
        refit_on_test: Whether the published model is trained on all splits, the test split too, after the gate.
        publication_key: Name of the publication, such as the id of the run; a location publishes it once.
        champion_version: Version that the model was compared with, and that must still be the newest one; 0 if there
            was none, -1 to publish after any version.
        keep_versions: Number of complete versions to keep, the newest.
        manifest: The manifest of the published version.

    Returns:
        Number of the published version.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        import json

        from components.core.parameters import make_parameters
        from components.core.progress import write_result
        from components.publish import step
        from components.publish.parameters import PublishParameters

        published = step.publish(
            Path(index.path),
            Path(model.path),
            Path(vocabulary.path),
            Path(metrics.path),
            Path(verdict.path) if verdict else None,
            Path(verification.path) if verification else None,
            make_parameters(PublishParameters, arguments),
        )
        Path(manifest.path).write_text(json.dumps(published.document, indent=2))
        write_result(f"version {published.version} in {serving_uri}")
        manifest.metadata.update({"version": published.version, "publication_key": published.publication_key})
        record.result = {"version": published.version, "serving_uri": serving_uri}
        return published.version
