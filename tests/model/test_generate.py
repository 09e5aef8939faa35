"""Generation with a cache writes what the model says without one, prompt by prompt and side by side."""

import pytest
import torch

from engine.errors import OpError
from model.config import ModelConfig
from model.generate import Sampling, choose, generate
from model.transformer import decoder

SMALL = ModelConfig(layers=2, width=32, heads=4, context=40, vocabulary=97)


def lively(config=SMALL):
    """A decoder whose weights are so far apart that the next token is no foregone conclusion."""
    model = decoder(config, seed=2).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(0.5 if name.startswith("wte") else 6)
    return model


@pytest.fixture(scope="module")
def model():
    return lively()


def slowly(model, prompt, count):
    """The best token again and again, the whole text read anew for each."""
    text = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            text.append(model(torch.tensor([text]))[0, -1].argmax().item())
    return text[len(prompt) :]


PROMPTS = [[5], [7, 8, 9, 10, 11, 12, 13], [3, 4, 5]]


@pytest.mark.parametrize("multi_query", [True, False])
def test_greedy_tokens_are_those_of_the_whole_text(multi_query):
    model = lively(ModelConfig(**{**vars(SMALL), "multi_query": multi_query}))
    assert len(set(slowly(model, PROMPTS[0], 12))) > 5, "or else any mistake would pass"
    for one, prompt in zip(generate(model, PROMPTS, 12, stop=[]), PROMPTS, strict=True):
        assert one.tokens == slowly(model, prompt, 12)
        assert not one.stopped
        assert len(one.margins) == 12
        assert min(one.margins) > 0


def test_it_ends_with_the_context(model):
    long = list(range(1, 37))
    written = generate(model, [long, [5]], 100, stop=[])
    assert [len(one.tokens) for one in written] == [4, 39]
    assert written[0].tokens == slowly(model, long, 4)
    assert written[1].tokens == slowly(model, [5], 39)


def test_it_stops_at_a_stop_token(model):
    free = slowly(model, PROMPTS[1], 20)
    (one,) = generate(model, PROMPTS[1:2], 20, stop=[free[6]])
    assert one.stopped
    assert one.tokens == free[: free.index(free[6]) + 1]


def test_samples_come_as_often_as_their_chances_say():
    logits = torch.tensor([[1.0, 3.0, 2.0, -1.0]]).expand(20_000, 4)
    generator = torch.Generator().manual_seed(0)

    def shares(**bounds):
        drawn = choose(logits, Sampling(temperature=1.0, **bounds), generator)
        return (torch.bincount(drawn, minlength=4) / len(drawn)).tolist()

    chance = logits[0].softmax(0)
    assert shares() == pytest.approx(chance.tolist(), abs=0.015)
    two = [0, (chance[1] / (chance[1] + chance[2])).item(), (chance[2] / (chance[1] + chance[2])).item(), 0]
    assert shares(top_k=2) == pytest.approx(two, abs=0.015)
    assert shares(top_p=0.7) == pytest.approx(two, abs=0.015)
    assert shares(top_p=0.01) == [0, 1, 0, 0]
    assert choose(logits, Sampling(), generator).eq(1).all()


def test_the_same_seed_draws_the_same(model):
    def drawn(seed):
        return generate(model, PROMPTS, 10, Sampling(temperature=1.0, seed=seed), stop=[])[0].tokens

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize("prompts", [[], [[]], [[1] * 41]])
def test_a_prompt_that_does_not_fit_is_told(model, prompts):
    with pytest.raises(OpError, match="from 1 to 40 tokens"):
        generate(model, prompts, 1)
