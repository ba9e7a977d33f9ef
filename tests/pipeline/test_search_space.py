import pytest

from components.suggest.spaces import SPACES, Dimension, parse_space
from pipeline.presets import get_preset
from pipeline.search_space import check_space, read_space


def check(text, **base):
    return check_space(parse_space(text), base)


def test_numbers_get_the_types_of_the_parameters():
    space = check(
        "learning_rate: {low: 1, high: 2}\nembedding_dim: {low: 8, high: 16, step: 8}\nmask_rate: {choices: [0]}"
    )
    assert space["learning_rate"] == Dimension(low=1.0, high=2.0)
    assert type(space["learning_rate"].low) is float
    assert type(space["embedding_dim"].step) is int
    assert repr(space["mask_rate"].choices) == "(0.0,)"


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("preset", ["default", "sample"])
def test_what_is_shipped_suits_the_presets(name, preset):
    assert read_space(name, get_preset(preset)).keys() == SPACES[name].keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: {low: 1, high: 2}", "Received: 'learning_rat'. Did you mean learning_rate"),
        ("min_item_count: {low: 1, high: 2}", "Expected a parameter of the step train. Received: 'min_item_count'"),
        ("refit: {choices: [true]}", "Received: refit, but a search refits the best trial alone"),
        ("random_seed: {low: 1, high: 2}", "Received: random_seed, but a lucky seed is no better training"),
        ("max_valid_targets: {low: 1, high: 2}", "but trials would be measured on different targets"),
        ("embedding_dim: {low: 8.5, high: 16}", "Expected low of embedding_dim to be of the type int. Received: 8.5"),
        ("query_tower: {low: 1, high: 2}", "Expected query_tower to have choices, since it is of the type str"),
        ("pointer: {low: 0, high: 1}", "Expected pointer to have choices, since it is of the type bool"),
        ("pointer: {choices: [1, 0]}", "Expected choices of pointer to be of the type bool. Received: 1"),
        ("embedding_dim: {choices: ['8']}", "Expected choices of embedding_dim to be of the type int. Received: '8'"),
        ("dropout: {low: 0, high: 1}", "dropout=1.0, which the training refuses. Expected dropout to be 0, or from"),
        ("embedding_dim: {low: 0, high: 8}", "embedding_dim=0, which the training refuses. Expected embedding_dim"),
        ("query_tower: {choices: [gru, bert]}", "query_tower='bert', which the training refuses. Expected query_tower"),
        ("loss: {choices: [full, in_batch]}", "loss='in_batch', which the training refuses. Expected pointer to be"),
    ],
)
def test_what_the_training_refuses_is_refused_before_anything_starts(text, message):
    with pytest.raises(ValueError, match="Expected ") as refusal:
        check(text)
    assert message in str(refusal.value)


def test_a_value_that_some_combination_accepts_is_accepted():
    check("loss: {choices: [full, in_batch]}\npointer: {choices: [true, false]}")
    check("loss: {choices: [full, in_batch]}", pointer=False)


def test_a_file_and_what_is_none(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("dropout: {low: 0.1, high: 0.3}")
    assert read_space(str(path), {}) == {"dropout": Dimension(low=0.1, high=0.3)}
    path.write_text("dropot: {low: 0.1, high: 0.3}")
    with pytest.raises(ValueError, match=r"space\.yaml: Expected a parameter .* Did you mean dropout"):
        read_space(str(path), {})
    with pytest.raises(FileNotFoundError, match=r"Expected --space to be default or a YAML file\. Received: defautl"):
        read_space("defautl", {})
