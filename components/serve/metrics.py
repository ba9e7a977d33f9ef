"""What the server tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The metrics of one server.

    Attributes:
        registry: holds all of them, and those of the process.
        requests: number of answers, by route and status.
        seconds: time from the headers of a request to its answer, by route.
        in_flight: requests that are being answered.
        batch_size: sessions that were computed together.
        batch_seconds: time to compute a batch.
        queue_seconds: time that a query waited for its batch.
        version: number of the version that is served; 0 for none.
        loaded_at: when it was loaded, in seconds since 1970.
        looked_at: when the location was last listed with success, in seconds since 1970.
        location_failures: number of times that it could not be listed.
        version_failures: number of versions that could not be loaded; retries count.
        versions_in_memory: indices in memory.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        registry = self.registry
        self.requests = Counter(
            "two_tower_requests", "Answers by route and status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "two_tower_request_seconds",
            "Time from the headers to the answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("two_tower_requests_in_flight", "Requests that are being answered.", registry=registry)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        self.batch_size = Histogram(
            "two_tower_batch_size", "Sessions that were computed together.", buckets=sizes, registry=registry
        )
        self.batch_seconds = Histogram(
            "two_tower_batch_seconds", "Time to compute a batch.", buckets=SECONDS, registry=registry
        )
        self.queue_seconds = Histogram(
            "two_tower_queue_seconds", "Time that a query waited.", buckets=SECONDS, registry=registry
        )
        self.version = Gauge("two_tower_model_version", "Version that is served; 0 for none.", registry=registry)
        self.loaded_at = Gauge(
            "two_tower_model_loaded_timestamp_seconds", "When the version was loaded.", registry=registry
        )
        self.looked_at = Gauge(
            "two_tower_location_listed_timestamp_seconds", "When the location was last listed.", registry=registry
        )
        self.location_failures = Counter(
            "two_tower_location_failures", "Failed looks at the serving location.", registry=registry
        )
        self.version_failures = Counter(
            "two_tower_version_failures", "Failed attempts to load a version.", registry=registry
        )
        self.versions_in_memory = Gauge("two_tower_versions_in_memory", "Indices in memory.", registry=registry)
