from components.evaluate.page import select_page_metrics

KS = (1, 5, 10, 20, 50, 100)


def summarize(value: float, ks: tuple[int, ...]) -> dict[str, float]:
    return {f"{metric}@{k}": value + k / 1000 for metric in ("recall", "mrr", "ndcg") for k in ks}


def make_document(ks: tuple[int, ...] = KS, champion: dict | None = None) -> dict:
    baselines = {name: summarize(value, ks) for name, value in (("popularity", 0.1), ("stan", 0.3), ("item_knn", 0.2))}
    return {
        "model": summarize(0.5, ks),
        "baselines": baselines,
        "champion": champion or {"status": "none"},
        "coverage@20": {"model": 0.9, "stan": 0.8},
        "num_targets": 7,
        "num_unknown_targets": 2,
    }


def test_the_first_page_of_ten_has_all_that_matters():
    champion = {"status": "compared", "champion": {"recall@20": 0.4, "mrr@20": 0.3}}
    found = select_page_metrics(make_document(champion=champion))
    assert found == {
        "recall@20": 0.52, "mrr@20": 0.52, "ndcg@20": 0.52, "best_baseline_recall@20": 0.32,
        "champion_recall@20": 0.4, "champion_mrr@20": 0.3, "coverage@20": 0.9, "num_targets": 7,
        "num_unknown_targets": 2,
    }  # fmt: skip
    assert "recall@20" in sorted(found)[:10]
    assert len(found) <= 10


def test_other_cut_offs():
    found = select_page_metrics(make_document(ks=(1, 5)))
    assert {name for name in found if "@5" in name} == {"recall@5", "mrr@5", "ndcg@5", "best_baseline_recall@5"}
    assert "champion_recall@20" not in found
