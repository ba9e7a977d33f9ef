"""Small versions to publish, and what must hold of a serving location at any moment.

As a script, a publisher in a process of its own: it says "ready", waits for a line, publishes and says what happened.
    python served.py URI KEY FOLDER [CHAMPION]
"""

import json
import sys
from pathlib import Path

from components.core.serving.location import fetch, list_versions, open_location
from components.core.serving.manifest import Draft, PublishConflictError, list_folder

DETAILS = {
    "trained_until": None,
    "metrics": {"model": {"recall@20": 0.5, "mrr@20": 0.25}},
    "verdict": None,
    "parameters": {"embedding_dim": 8},
}
INDEX_NAMES = ("saved_model.pb", "assets.extra/warm up", "fingerprint.pb", "variables/variables.index")
MODEL_NAMES = ("model/saved_model.pb", "model/assets/é.txt", "vocabulary.parquet")


def make_draft(folder: Path, key: str, *, num_bytes: int = 10, **values) -> Draft:
    """A version whose files all hold its key, and names that tell them apart."""
    for part, names in (("index", INDEX_NAMES), ("towers", MODEL_NAMES)):
        for name in names:
            path = folder / key / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make_content(key, name) * (1 + num_bytes // len(make_content(key, name))))
    return Draft(
        publication_key=key,
        index_files=list_folder(folder / key / "index"),
        model_files=list_folder(folder / key / "towers"),
        **{"details": DETAILS, **values},
    )


def make_content(key: str, name: str) -> bytes:
    return f"{key} {name}\n".encode()


def check_versions(uri: str, folder: Path) -> dict[int, str]:
    """Fetches every version as a reader does, and returns their keys; each has all files, with its own content.

    A version that is removed while it is fetched must be gone from the next listing.
    """
    found = {}
    for manifest in list_versions(uri):
        target = folder / str(manifest.version)
        try:
            for part in ("index", "model"):
                fetch(open_location(uri), manifest, part, target / part)
        except OSError:
            if manifest.version in [each.version for each in list_versions(uri)]:
                raise
            continue
        for part, names in (("index", INDEX_NAMES), ("model", MODEL_NAMES)):
            assert sorted(list_folder(target / part)) == sorted(names)
            for name in names:
                content, line = (target / part / name).read_bytes(), make_content(manifest.publication_key, name)
                assert content == line * (len(content) // len(line)) != b""
        found[manifest.version] = manifest.publication_key
    return found


def main(uri: str, key: str, folder: str, champion: str = "") -> None:
    draft = make_draft(Path(folder), key, num_bytes=200_000, champion=int(champion) if champion else None)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        print(json.dumps({"version": open_location(uri).publish(draft, keep=3).version}))
    except PublishConflictError as error:
        print(json.dumps({"conflict": str(error)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
