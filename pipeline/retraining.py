"""The DAG that a schedule runs on a raw log: sessionize -> vocabulary -> train -> evaluate, export."""

from typing import Any, List  # noqa: UP035

from kfp import dsl

from pipeline.tasks import Artifacts, Tasks


def make_retraining_pipeline(tasks: Tasks | None = None) -> Any:
    """Makes the pipeline of `tasks`, by default for a local run."""
    tasks = tasks or Tasks()

    @dsl.pipeline(name="two-tower-retraining", display_name="Two-tower retraining")
    def retraining(
        log_path: str,
        visitor_column: str = "visitorid",
        item_column: str = "itemid",
        event_column: str = "event",
        time_column: str = "timestamp",
        delimiter: str = "",
        max_id_bytes: int = 256,
        event_types: List[str] = ["view"],  # noqa: B006, UP006
        max_gap_minutes: float = 60.0,
        min_session_length: int = 2,
        min_item_support: int = 5,
        as_of: str = "",
        window_days: int = 0,
        test_days: int = 7,
        valid_days: int = 7,
        engine: str = "duckdb",
        memory_gib: float = 2.0,
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
        """Trains, evaluates and exports a two-tower retrieval model from a raw event log.

        Args:
            log_path: A file, folder or glob of CSV, TSV (plain, .gz, .zst) or Parquet; local, s3:// or gs://.
            visitor_column: Header of the visitor id.
            item_column: Header of the item id.
            event_column: Header of the type of event.
            time_column: Header of the time in milliseconds since 1970.
            delimiter: Of the fields; empty for a comma in .csv and a tab elsewhere.
            max_id_bytes: Lines with longer ids are rejected.
            event_types: Types of event that count; the others only keep a session going.
            max_gap_minutes: A session ends where more time passes before the visitor's next event.
            min_session_length: Sessions with fewer events are dropped, again and again.
            min_item_support: Items with fewer events are dropped, again and again.
            as_of: End of the window, an ISO 8601 date (its first moment) or time; empty for the newest event.
            window_days: Length of the window in days; 0 for the whole log.
            test_days: Sessions that start in these last days are the test split.
            valid_days: Sessions that start in these days before them are the validation split.
            engine: duckdb or spark.
            memory_gib: Memory that DuckDB may use before it goes to disk.
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
        return tasks.from_events(tasks.sessionize(parameters), parameters)

    return retraining
