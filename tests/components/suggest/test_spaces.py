import pytest

from components.suggest.spaces import SPACES, Dimension, parse_space


def test_each_form_of_a_dimension():
    space = parse_space(
        """
        learning_rate: {low: 1e-4, high: 0.01, log: true}
        dropout: {low: 0, high: 0.5}
        embedding_dim: {low: 32, high: 128, step: 32}
        num_negatives: {low: 1, high: 100}
        trend_weight: {low: 0, high: 1, step: 0.25}
        loss: {choices: [full, sampled]}
        """
    )
    assert space == {
        "learning_rate": Dimension(low=0.0001, high=0.01, log=True),
        "dropout": Dimension(low=0.0, high=0.5),
        "embedding_dim": Dimension(low=32, high=128, step=32),
        "num_negatives": Dimension(low=1, high=100),
        "trend_weight": Dimension(low=0.0, high=1.0, step=0.25),
        "loss": Dimension(choices=("full", "sampled")),
    }
    assert [type(each.low) for each in space.values()][:5] == [float, float, int, int, float]


@pytest.mark.parametrize("name", SPACES)
def test_what_is_shipped_is_a_space(name):
    space = parse_space(name)
    assert list(space) == list(SPACES[name])
    assert {each: dimension.to_dict() for each, dimension in space.items()} == SPACES[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "or to map parameters to"),
        ("defaults", "Expected the space to be one of default, or to map"),
        ("[1, 2]", "or to map parameters to"),
        ("a: {low: 1, high: 2}\na: {low: 3, high: 4}", "Expected each key once in the space. Received: 'a' in line 1"),
        ("a: {low: 1", "Expected the space to be YAML"),
        ("a: 3", "Expected a in the space to be {low, high}"),
        ("a: {}", "Expected a in the space to be {low, high}"),
        ("a: {low: 1}", "Expected a in the space to be {low, high}"),
        ("a: {min: 1, max: 2}", "to have the keys low, high, log, step, choices. Received: min, max"),
        ("a: {low: 1, high: one}", "Expected high of a in the space to be a number. Received: 'one'"),
        ("a: {low: true, high: 2}", "Expected low of a in the space to be a number. Received: True"),
        ("a: {low: 2, high: 2}", "Expected low of a in the space to be below high, 2. Received: 2"),
        ("a: {low: 0, high: 2, log: true}", "Expected low of a in the space to be above 0 with log. Received: 0"),
        ("a: {low: 1, high: 2, log: 1}", "Expected log of a in the space to be true or false. Received: 1"),
        ("a: {low: 1, high: 9, log: true, step: 2}", "to have log or step. Received: both"),
        ("a: {low: 1, high: 9, step: 0}", "Expected step of a in the space to be above 0 and to fit. Received: 0"),
        ("a: {low: 1, high: 9, step: 9}", "Expected step of a in the space to be above 0 and to fit. Received: 9"),
        ("a: {low: 0.0, high: 1.0, step: 0.3}", "to be low plus a multiple of step, 0.0 + n * 0.3. Received: 1.0"),
        ("a: {choices: x}", "Expected choices of a in the space to be a list of values. Received: 'x'"),
        ("a: {choices: []}", "Expected choices of a in the space to be a list of values. Received: []"),
        ("a: {choices: [[1]]}", "Expected choices of a in the space to be a list of values. Received: [[1]]"),
        ("a: {choices: [1, 2, 1]}", "Expected choices of a in the space to differ. Received: [1, 2, 1]"),
        ("a: {choices: [1], low: 1}", "to have choices alone, or low and high. Received: both"),
    ],
)
def test_what_is_no_space_is_refused(text, message):
    with pytest.raises(ValueError, match=r"Expected .*Received: ") as refusal:
        parse_space(text)
    assert message in str(refusal.value)
