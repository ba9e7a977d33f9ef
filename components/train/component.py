from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    tensorboard: dsl.Output[dsl.Artifact],
    query_tower: str = "gru_attention",
    embedding_dim: int = 128,
    normalize: bool = True,
    max_session_length: int = 256,
    loss: str = "sampled",
    num_negatives: int = 1536,
    correct_sampling: bool = True,
    session_negatives: bool = True,
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
    max_epochs: int = 8,
    max_valid_targets: int = 50_000,
    patience: int = 2,
    precision: str = "float32",
    jit_compile: bool = False,
    refit: bool = False,
    seed: int = 42,
    checkpoint_root: str = "",
) -> None:
    """Trains a query tower and a candidate tower and saves both.

    Args:
        events: The events artifact; its test split is not read.
        vocabulary: The vocabulary artifact.
        query_tower: What embeds a session: session_id, last_item, mean, gru, attention or gru_attention.
        embedding_dim: Length of query and candidate embeddings.
        normalize: Cosine similarity instead of the plain dot product.
        max_session_length: Newest events of a session that the query tower reads.
        loss: in_batch, sampled, full or bpr_max.
        num_negatives: Items drawn a batch and shared by its targets (losses sampled and bpr_max).
        correct_sampling: Subtract log q from the logits, q the probability of being a negative.
        session_negatives: A session's other items are negatives of each of its targets (loss sampled).
        remove_accidental_hits: An in-batch negative that is the target is none; the other losses always mask it.
        num_hard_negatives: Of the in-batch negatives only so many, the hardest, count; 0 for all.
        temperature: Divides the scores before the softmax.
        trend_weight: How much of the newest popularity is made up for after training, from 0 to 1.
        dropout: Share of units that are dropped.
        input_dropout: Share of the embedding's units that the GRU of the gru_attention tower does not read.
        mask_rate: Share of a session's items that training replaces by the unknown item.
        optimizer: adam or adagrad.
        learning_rate: Its highest value.
        table_learning_rate: Its highest value for the item embeddings under Adam; 0 for the same.
        learning_rate_schedule: constant, or cosine with a linear warm-up.
        batch_size: Targets a batch.
        max_epochs: Upper bound of passes over the training sessions.
        max_valid_targets: What is ranked after every epoch at most, drawn by whole sessions; 0 for all.
        patience: Epochs without a better validation recall before training stops.
        precision: Of the numbers inside the query tower: float32 or bfloat16; table, scores and loss are float32.
        jit_compile: Compile the query tower's training with XLA; for GPUs, on a CPU it takes longer.
        refit: Train again on train and valid for the number of epochs that was best.
        seed: Seed of everything random.
        checkpoint_root: Folder that outlives a killed step, to resume from; empty for no resuming.
        model: SavedModel of both towers that takes raw string ids.
        tensorboard: TensorBoard logs.
    """
    from pathlib import Path

    from components.train import step
    from components.train.parameters import TrainParameters

    training = step.train_model(
        Path(events.path),
        Path(vocabulary.path),
        Path(model.path),
        Path(tensorboard.path),
        TrainParameters(
            query_tower=query_tower,
            embedding_dim=embedding_dim,
            normalize=normalize,
            max_session_length=max_session_length,
            loss=loss,
            num_negatives=num_negatives,
            correct_sampling=correct_sampling,
            session_negatives=session_negatives,
            remove_accidental_hits=remove_accidental_hits,
            num_hard_negatives=num_hard_negatives,
            temperature=temperature,
            trend_weight=trend_weight,
            dropout=dropout,
            input_dropout=input_dropout,
            mask_rate=mask_rate,
            optimizer=optimizer,
            learning_rate=learning_rate,
            table_learning_rate=table_learning_rate,
            learning_rate_schedule=learning_rate_schedule,
            batch_size=batch_size,
            max_epochs=max_epochs,
            max_valid_targets=max_valid_targets,
            patience=patience,
            precision=precision,
            jit_compile=jit_compile,
            refit=refit,
            seed=seed,
        ),
        checkpoint_root=Path(checkpoint_root) if checkpoint_root else None,
    )
    model.metadata.update(
        {"framework": "tensorflow", "query_tower": query_tower, "embedding_dim": embedding_dim, "loss": loss}
    )
    model.metadata.update(training.figures)
