import pytest


@pytest.fixture(scope="session")
def spark():
    """A local session with few partitions, since the logs are small. Another one cannot be started after it."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.config("spark.sql.shuffle.partitions", "2").config("spark.ui.enabled", "false")
    yield session.getOrCreate()
    SparkSession.getActiveSession().stop()
