"""Consecutive weekly retrainings of a log with sessions, the last of them on poisoned logs first.

    python tests/benchmarks/retraining_weeks.py
    python tests/benchmarks/retraining_weeks.py --log retailrocket --weeks 2015-08-28 2015-09-04 2015-09-11 --epochs 3

Each week publishes a version if the gate lets it pass; the poisoned logs (random clicks in the last week, and 30% of
its items gone) have to be refused. Then the last version is rolled back. Without a log, a generated one is used. Three
epochs show whether the loop works, not how good a model gets: the default is 8. The tasks run in this process, which
saves the start of each.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

try:
    import numpy  # noqa: F401
    import pyarrow  # noqa: F401
except ModuleNotFoundError as error:
    raise SystemExit(f"This benchmark needs what `make install` installs. Received: {error}") from error

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import weekly_logs  # noqa: E402
from in_process import tasks_in_process  # noqa: E402

from components.core.serving.location import list_versions  # noqa: E402
from components.publish.rollback import roll_back  # noqa: E402
from pipeline.__main__ import cli  # noqa: E402
from pipeline.kfp_runner import RunError  # noqa: E402

SETTINGS = ["session_column=SessionId", "item_column=ItemId", "time_column=Time", "event_column=", "drop_repeats=false"]
SMALL = ["embedding_dim=16", "query_tower=mean", "num_negatives=64", "learning_rate=0.02", "gate_min_targets=200",
         "gate_max_mean_loss=0.6", "gate_max_interval_loss=0.7", "gate_max_lost_share=0.2"]  # fmt: skip


def retrain(log: Path, week: str, folder: Path, settings: list[str]) -> tuple[int, float]:
    """Runs the retraining of a week; returns its exit code and its seconds."""
    command = ["run", "--events", str(log), "--as-of", week]
    command += ["--serving", str(folder / "serving"), "--output", str(folder / "output")]
    command += [option for setting in settings for option in ("--set", setting)]
    begin = time.perf_counter()
    with (folder / "log.txt").open("a") as printed, contextlib.ExitStack() as stack:
        for context in (contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), tasks_in_process()):
            stack.enter_context(context)
        try:
            code = cli.main(command, standalone_mode=False)
        except RunError as error:
            print(error)
            code = 3
    return code, time.perf_counter() - begin


def describe(folder: Path) -> str:
    """Returns what the newest run has found."""
    output = folder / "output"
    metrics, verdict = (json.loads((output / name).read_text()) for name in ("metrics.json", "verdict.json"))
    parts = [f"recall@20 {metrics['model']['recall@20']:.4f}", f"MRR@20 {metrics['model']['mrr@20']:.4f}"]
    parts.append(f"STAN {metrics['baselines']['stan']['recall@20']:.4f}")
    champion = metrics["champion"]
    if champion["status"] == "compared":
        shown = f"champion {champion['champion']['recall@20']:.4f} on {champion['num_targets']:,} targets"
        parts.append(
            f"{shown}, ahead {champion['ahead']['recall@20'][0]:+.4f} to {champion['ahead']['recall@20'][1]:+.4f}"
        )
    report = json.loads((output / "events" / "report.json").read_text())
    parts.append(f"lost events {report['lost_event_share']:.3f}")
    if (output / "verification.json").exists():
        parts.append(f"overlap {json.loads((output / 'verification.json').read_text())['overlap']:.3f}")
    return f"{', '.join(parts)}; decided by {verdict['decided_by']}. {verdict['reason']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, help="Folder of TSV files with SessionId, ItemId and Time.")
    parser.add_argument("--weeks", nargs="+", default=list(weekly_logs.WEEKS), help="Ends of the logs of these weeks.")
    parser.add_argument("--unpoisoned", action="store_true", help="Omit the two poisoned logs.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Where to work, instead of a temporary folder.")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        log = given.log.absolute() if given.log else folder / "log"
        if not given.log:
            weekly_logs.SHOP.write(log)
        settings = [*SETTINGS, *([] if given.log else SMALL), f"max_epochs={given.epochs}", *given.settings]
        last = datetime.fromisoformat(given.weeks[-1]).replace(tzinfo=UTC) - timedelta(days=7)
        since = int(last.timestamp() * (1_000 if weekly_logs.is_in_milliseconds(log) else 1))
        random, fewer = (
            weekly_logs.write_changed(log, folder / change.__name__, change, since=since)
            for change in (weekly_logs.click_at_random, weekly_logs.lose_items)
        )
        poisoned = [] if given.unpoisoned else [(random, given.weeks[-1], 7), (fewer, given.weeks[-1], 7)]
        expected = [*((log, week, 0) for week in given.weeks[:-1]), *poisoned, (log, given.weeks[-1], 0)]
        for source, week, code in expected:
            found, seconds = retrain(source, week, folder, settings)
            name = "the log" if source == log else source.name.replace("_", " ")
            if found not in (0, 7):
                raise SystemExit(f"{week}, {name}: exit code {found}. {(folder / 'log.txt').read_text()[-3_000:]}")
            verdict = "published" if found == 0 else "refused"
            print(f"{week}, {name}: {verdict} after {seconds:.0f} s; {describe(folder)}", flush=True)
            if found != code:
                raise SystemExit(f"Expected {'a publication' if code == 0 else 'a refusal'}. Received: {verdict}")
        versions = [manifest.version for manifest in list_versions(str(folder / "serving"))]
        restored = str(roll_back(str(folder / "serving")).version)
        print(f"versions {versions}, rolled back: version {restored}")
        command = [
            sys.executable,
            "-m",
            "pipeline",
            "recommend",
            "--index",
            str(folder / "serving" / restored),
            "-k",
            "3",
        ]
        item = weekly_logs.read_rows(log)[0][1]
        answer = subprocess.run([*command, "--item", item], cwd=ROOT, capture_output=True, text=True, check=True)
        print(f"recommended to a session with {item}: {answer.stdout.split()[::2]}")


if __name__ == "__main__":
    main()
