"""The DAG over logs that are split already: ingest -> vocabulary -> train -> evaluate, export."""

from typing import Any, List  # noqa: UP035

from kfp import dsl

from pipeline.tasks import Artifacts, Tasks


def make_training_pipeline(tasks: Tasks | None = None) -> Any:
    """Makes the pipeline out of `tasks`, which hold its image and where it is to run; by default on this machine."""
    tasks = tasks or Tasks()

    @dsl.pipeline(name="two-tower-training", display_name="Two-tower training")
    def training(
        train_path: str,
        valid_path: str,
        test_path: str,
        session_column: str = "SessionId",
        item_column: str = "ItemId",
        time_column: str = "Time",
        delimiter: str = "",
        max_id_bytes: int = 256,
        sample_fraction: float = 1.0,
        sample_unit: str = "sessions",
        max_rejected_share: float = 0.01,
        errors: List[str] = [],  # noqa: B006, UP006
        previous_events: str = "",
        volume_drift_warns: float = 0.5,
        volume_drift_fails: float = 2.0,
        session_length_drift_warns: float = 0.25,
        session_length_drift_fails: float = 1.0,
        lost_items_drift_warns: float = 0.3,
        lost_items_drift_fails: float = 0.8,
        popularity_drift_warns: float = 0.3,
        popularity_drift_fails: float = 0.8,
        min_item_count: int = 1,
        query_tower: str = "gru_attention",
        embedding_dim: int = 128,
        num_heads: int = 2,
        normalize: bool = True,
        max_session_length: int = 256,
        loss: str = "sampled",
        num_negatives: int = 1536,
        sampling_exponent: float = 0.75,
        correct_sampling: bool = True,
        session_negatives: bool = True,
        remove_accidental_hits: bool = True,
        num_hard_negatives: int = 0,
        temperature: float = 0.08,
        trend_weight: float = 0.25,
        score_regularization: float = 1.0,
        dropout: float = 0.2,
        input_dropout: float = 0.5,
        mask_rate: float = 0.01,
        optimizer: str = "adam",
        learning_rate: float = 0.002,
        table_learning_rate: float = 0.015,
        learning_rate_schedule: str = "cosine",
        warmup_epochs: float = 0.5,
        batch_size: int = 1024,
        max_epochs: int = 8,
        max_valid_targets: int = 50_000,
        patience: int = 2,
        precision: str = "float32",
        jit_compile: bool = False,
        refit: bool = False,
        seed: int = 42,
        checkpoint_root: str = "",
        ks: List[int] = [1, 5, 10, 20, 50, 100],  # noqa: B006, UP006
        min_prefix: int = 1,
        max_test_targets: int = 50_000,
    ) -> Artifacts:
        """Trains, evaluates and exports a two-tower retrieval model from three session logs.

        Args:
            train_path: Tab-separated file of the training sessions, plain or .gz.
            valid_path: Tab-separated file of the validation sessions.
            test_path: Tab-separated file of the test sessions.
            session_column: Header of the session id.
            item_column: Header of the item id.
            time_column: Header of the time in milliseconds since 1970.
            delimiter: Of the fields; empty for a comma in .csv and a tab elsewhere.
            max_id_bytes: Lines with longer ids are rejected.
            sample_fraction: Share of each split that is kept.
            sample_unit: What is sampled: sessions (whole ones) or events (single rows).
            max_rejected_share: Share of the lines that may be rejected.
            errors: Findings that are errors: duplicates, backward_times, sessions_in_two_splits, seconds, cut_files.
            previous_events: Folder of a run's events (local, s3:// or gs://), to measure drift since; empty for none.
            volume_drift_warns: Bound of |log2| of the ratio of the numbers of train events; 1 is twice or half as many.
            volume_drift_fails: Above it the step fails.
            session_length_drift_warns: Bound of |log2| of the ratio of the mean session lengths.
            session_length_drift_fails: Above it the step fails.
            lost_items_drift_warns: Bound of the share of the previous run's items that are gone.
            lost_items_drift_fails: Above it the step fails.
            popularity_drift_warns: Bound of the Jensen-Shannon divergence of the items' popularity, in bits.
            popularity_drift_fails: Above it the step fails.
            min_item_count: Items with fewer events are unknown to the model.
            query_tower: What embeds a session: session_id, last_item, mean, gru, attention or gru_attention.
            embedding_dim: Length of query and candidate embeddings.
            num_heads: Attention heads of the attention tower.
            normalize: Cosine similarity instead of the plain dot product.
            max_session_length: Newest events of a session that the query tower reads.
            loss: in_batch, sampled, full or bpr_max.
            num_negatives: Items drawn a batch and shared by its targets (losses sampled and bpr_max).
            sampling_exponent: They are drawn in proportion to count ** sampling_exponent.
            correct_sampling: Subtract log q from the logits, q the probability of being a negative.
            session_negatives: A session's other items are negatives of each of its targets (loss sampled).
            remove_accidental_hits: An in-batch negative that is the target is none; the other losses always mask it.
            num_hard_negatives: Of the in-batch negatives only so many, the hardest, count; 0 for all.
            temperature: Divides the scores before the softmax.
            trend_weight: How much of the newest popularity is made up for after training, from 0 to 1.
            score_regularization: Weight of the score regularisation of bpr_max.
            dropout: Share of units that are dropped.
            input_dropout: Share of the embedding's units that the GRU of the gru_attention tower does not read.
            mask_rate: Share of a session's items that training replaces by the unknown item.
            optimizer: adam or adagrad.
            learning_rate: Its highest value.
            table_learning_rate: Its highest value for the item embeddings under Adam; 0 for the same.
            learning_rate_schedule: constant, or cosine with a linear warm-up.
            warmup_epochs: Length of the warm-up.
            batch_size: Targets a batch.
            max_epochs: Upper bound of passes over the training sessions.
            max_valid_targets: What is ranked after every epoch at most, drawn by whole sessions; 0 for all.
            patience: Epochs without a better validation recall before training stops.
            precision: Of the numbers inside the query tower: float32 or bfloat16; table, scores and loss are float32.
            jit_compile: Compile the query tower's training with XLA; for GPUs, on a CPU it takes longer.
            refit: Train again on train and valid for the number of epochs that was best.
            seed: Seed of everything random.
            checkpoint_root: Folder that outlives a killed step, to resume from; empty for no resuming.
            ks: Cut-offs of recall, MRR and NDCG.
            min_prefix: How many events must come before a target in its session.
            max_test_targets: What is ranked of the test sessions at most, drawn by whole sessions; 0 for all.
        """
        parameters = dict(locals())  # every parameter reaches the tasks that have one of its name
        return tasks.from_events(tasks.ingest(parameters), parameters)

    return training
