from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    tensorboard: dsl.Output[dsl.Artifact],
    evaluated_model: dsl.Input[dsl.Model] = None,
    query_tower: str = "gru_attention",
    embedding_dim: int = 128,
    normalize: bool = True,
    max_session_length: int = 256,
    loss: str = "sampled",
    num_negatives: int = 1536,
    correct_sampling: bool = True,
    session_negatives: bool = True,
    pointer: bool = True,
    successor_half_count: float = 2000.0,
    remove_accidental_hits: bool = True,
    num_hard_negatives: int = 0,
    temperature: float = 0.08,
    trend_weight: float = 0.25,
    dropout: float = 0.2,
    input_dropout: float = 0.5,
    mask_rate: float = 0.01,
    optimizer: str = "adam",
    learning_rate: float = 0.002,
    table_learning_rate: float = 0.015,
    learning_rate_schedule: str = "cosine",
    batch_size: int = 1024,
    min_steps_per_epoch: int = 128,
    max_epochs: int = 8,
    max_valid_targets: int = 50_000,
    patience: int = 2,
    precision: str = "float32",
    jit_compile: bool = False,
    refit: bool = True,
    warm_start: bool = False,
    serving_uri: str = "",
    random_seed: int = 42,
    checkpoint_root: str = "",
    point: str = "",
    trial: bool = False,
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> str:
    """Trains a query tower and a candidate tower and saves both.

    Args:
        events: The events artifact; the test split is only read with an evaluated model.
        vocabulary: The vocabulary artifact.
        evaluated_model: SavedModel that has passed the gate. With it, the model is trained on all splits, with the same
            parameters and for as many epochs.
        query_tower: Query tower: session_id, last_item, mean, gru, attention or gru_attention.
        embedding_dim: Dimension of the query and candidate embeddings.
        normalize: L2-normalise the embeddings, so that scores are cosine similarities.
        max_session_length: Number of most recent events of a session that the query tower reads.
        loss: Loss: in_batch, sampled, full or bpr_max.
        num_negatives: Number of negatives sampled per batch and shared by all its targets (losses sampled and bpr_max).
        correct_sampling: Subtract log q from the logits, where q is an item's sampling probability.
        session_negatives: Use the other items of a session as negatives of each of its targets (loss sampled).
        pointer: Learn what to add to the scores of the session's own items; false for the losses in_batch and bpr_max.
        successor_half_count: Number of events of an item at which the vector of what follows it has half its weight; 0
            for no such vectors. The session_id tower has none.
        remove_accidental_hits: Mask in-batch negatives equal to the target (loss in_batch; the other losses always do).
        num_hard_negatives: Number of in-batch negatives to keep per target, those with the highest scores; 0 for all.
        temperature: Softmax temperature; scores are divided by it.
        trend_weight: Strength, from 0 to 1, of the correction towards recent popularity after training.
        dropout: Dropout rate of the query tower.
        input_dropout: Dropout rate of the embeddings that the GRU of the gru_attention tower reads, and of the vectors
            of what follows an item.
        mask_rate: Share of the input items that training replaces by the unknown item.
        optimizer: Optimizer: adam or adagrad.
        learning_rate: Peak learning rate.
        table_learning_rate: Peak learning rate of the item embedding table (adam only); 0 for learning_rate.
        learning_rate_schedule: Learning rate schedule: constant, or cosine decay after a linear warm-up.
        batch_size: Maximum number of targets per batch.
        min_steps_per_epoch: Minimum number of batches per epoch; small logs use smaller batches; 0 for no minimum.
        max_epochs: Maximum number of epochs.
        max_valid_targets: Maximum validation targets to rank per epoch, sampled by whole sessions; 0 for no limit.
        patience: Stop after this many epochs without a better sum of recall@20 and MRR@20 on valid.
        precision: Number format inside the query tower: float32 or bfloat16; table, scores and loss stay float32.
        jit_compile: Compile the query tower's training step with XLA, which takes half a minute or more; seldom faster.
        refit: Train the final model again on train and valid, for the number of epochs that was best on valid.
        warm_start: Start from the weights of the newest published version, if there is one, instead of random weights.
            If it was trained on the validation sessions, train for max_epochs epochs, since none can be selected.
        serving_uri: Serving location with the published model: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX;
            empty for none.
        random_seed: Random seed of sampling, initialisation, batches and dropout.
        checkpoint_root: Folder that outlives the task, for checkpoints to resume from after a restart; empty for none.
        point: JSON object with training parameters that replace those given, a point of a search; empty for none.
        trial: Whether to try the parameters only: no refit and no model, and a failure is a result.
        model: SavedModel of both towers, which takes item ids as strings.
        tensorboard: TensorBoard logs.

    Returns:
        JSON object with the point and the outcome of a trial; empty without `trial`.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        import json

        from components.core.parameters import make_parameters
        from components.core.progress import write_result
        from components.train.attempt import replace_values, run_trial
        from components.train.parameters import TrainParameters

        values = replace_values(arguments, point)
        checkpoints = Path(checkpoint_root) if checkpoint_root else None
        if trial:
            outcome = run_trial(Path(events.path), Path(vocabulary.path), values, checkpoint_root=checkpoints)
            record.result = {"point": json.loads(point or "{}"), **outcome}
            return json.dumps(record.result)

        from components.train import step

        parameters = make_parameters(TrainParameters, values)
        training = step.train_model(
            Path(events.path),
            Path(vocabulary.path),
            Path(model.path),
            Path(tensorboard.path),
            parameters,
            evaluated_dir=Path(evaluated_model.path) if evaluated_model else None,
            checkpoint_root=checkpoints,
            serving_uri=serving_uri,
        )
        write_result(training.describe())
        record.result = {**training.figures, "checkpoint_dir": training.checkpoint_dir}
        shown = {name: getattr(parameters, name) for name in ("query_tower", "embedding_dim", "loss")}
        model.metadata.update({"framework": "tensorflow", **shown, **training.figures})
        return ""
