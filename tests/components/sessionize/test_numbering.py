import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.sessionize.numbering import Numbering


def test_ids_become_numbers_in_order_and_the_same_texts_again(tmp_path):
    rng = np.random.default_rng(0)
    paths, given = [], []
    for shard in range(3):
        visitors = [f"visitor {shard}-{number}" for number in rng.integers(0, 40, 500)]
        items = ["é" * (number % 3) + str(number) for number in rng.integers(0, 90, 500).tolist()]
        given.append(pa.table({"visitor": visitors, "item": items, "counts": [True] * 500, "time": range(500)}))
        paths.append(tmp_path / f"{shard}.parquet")
        pq.write_table(given[-1], paths[-1], row_group_size=150)
    pq.write_table(given[0].slice(0, 0), tmp_path / "none.parquet")
    paths.insert(1, tmp_path / "none.parquet")

    numbering = Numbering(paths)
    numbered = pa.concat_tables([numbering.read(path) for path in paths]).combine_chunks()
    assert [str(field.type) for field in numbered.schema][:2] == ["int32", "int32"]
    texts = pa.concat_tables(given).to_pylist()
    visitors, items = (dict(zip(numbered[name].to_pylist(), [row[name] for row in texts], strict=True))
                       for name in ("visitor", "item"))  # fmt: skip
    assert len(set(visitors.values())) == len(visitors) == 120
    in_order = [items[number] for number in sorted(items)]
    assert in_order == sorted(set(items.values()), key=lambda item: (len(item), item))

    chosen = pa.array(rng.integers(0, 1500, 200))
    found = numbering.to_texts(numbered.take(chosen).to_batches()[0])
    assert found.to_pylist() == [texts[row] for row in chosen.to_pylist()]
