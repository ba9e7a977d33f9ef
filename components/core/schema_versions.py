"""Versions of the JSON documents that one step writes and another one reads.

A version goes up when a reader of the older form would misread the newer one. The gate refuses every other version.
"""

METRICS = 1  # metrics.json, by `evaluate`
INDEX_CHECK = 1  # index_check.json, by `export`
DATA_REPORT = 1  # report.json of the events artifact
VERDICT = 1  # verdict.json, by `gate`
EXAMPLES = 1  # examples.json, by `evaluate`
RECORD = 1  # RECORDS/<run id>/<task>.json, by every task
NOTIFICATION = 1  # notification.json, by `notify`
VERIFICATION = 1  # verification.json, by `verify`
