"""Averaged weights."""

import pytest
import torch
from torch import nn

from maskprop_d2.engine.checkpoint import Checkpointer
from maskprop_d2.engine.solver import WeightAverage
from maskprop_d2.errors import InputError


def model_and_average(decay=0.3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    return model, WeightAverage(model, decay)


def step(model):
    """Change the weights and the normalization statistics at random."""
    for x in model.parameters():
        x.data += torch.randn_like(x)
    model(torch.randn(5, 3))


def state(model):
    return {name: x.clone() for name, x in model.state_dict().items()}


def test_the_average_matches_its_definition():
    model, average = model_and_average()
    history = []
    for _ in range(6):
        step(model)
        average.after_step()
        history.append(state(model))
    expected = history[0]
    for n, weights in enumerate(history[1:], start=1):
        decay = min(0.3, (1 + n) / (10 + n))
        expected = {k: decay * expected[k] + (1 - decay) * weights[k] for k in expected}
    expected["1.num_batches_tracked"] = torch.tensor(6)
    averaged = average.averaged.state_dict()
    assert averaged["1.num_batches_tracked"] == 6
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value)
        assert name.endswith("tracked") or not torch.equal(value, history[-1][name])


def test_the_average_of_constant_weights_is_exact():
    model, average = model_and_average(0.9)
    for _ in range(20):
        average.after_step()
    averaged = average.averaged.state_dict()
    assert all(torch.equal(averaged[k], x) for k, x in model.state_dict().items())


class State:
    """Saves what a trainer saves of its hook."""

    def __init__(self, hook):
        self.state_dict, self.load_state_dict = hook.state_dict, hook.load_state_dict


def checkpointer(folder, model, average):
    keep = Checkpointer(model, str(folder), trainer=State(average))
    keep.averaged = average.averaged
    return keep


def test_a_checkpoint_has_the_averaged_weights_and_resumes_both(tmp_path):
    model, average = model_and_average()
    for i in range(8):
        if i == 4:
            checkpointer(tmp_path, model, average).save("model_0000003")
            at_save = state(model), state(average.averaged)
            torch.manual_seed(1)
        step(model)
        average.after_step()
    alone, _ = model_and_average()
    Checkpointer(alone, "").load(str(tmp_path / "model_0000003.pth"))
    assert all(torch.equal(x, at_save[1][k]) for k, x in alone.state_dict().items())
    again, average_again = model_and_average()
    checkpointer(tmp_path, again, average_again).resume_or_load("", resume=True)
    for found, expected in zip((again, average_again.averaged), at_save, strict=True):
        assert all(torch.equal(x, expected[k]) for k, x in found.state_dict().items())
    torch.manual_seed(1)
    for _ in range(4):
        step(again)
        average_again.after_step()
    for found, expected in ((again, model), (average_again.averaged, average.averaged)):
        expected = expected.state_dict()
        assert all(torch.equal(x, expected[k]) for k, x in found.state_dict().items())


@pytest.mark.parametrize("decay", [1.0, -0.1, 1.5, float("nan")])
def test_an_invalid_decay_is_refused(decay):
    with pytest.raises(InputError, match=r"EMA_DECAY must be in \[0, 1\)"):
        model_and_average(decay)
