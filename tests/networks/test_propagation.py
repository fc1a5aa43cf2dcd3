import pytest
import torch

from maskprop_d2.networks import propagation
from maskprop_d2.networks.propagation import OffsetPredictor, PropagationBranch, per_frame


def branch(impl="fused", hidden=0, background=True, randomize=True, affinity=None):
    torch.manual_seed(0)
    module = PropagationBranch(
        in_channels=6,
        offset_channels=8,
        num_groups=4,
        dilations=[1, 2, 3],
        hidden_dim=hidden,
        background=background,
        impl=impl,
        affinity=affinity,
    ).double()
    if randomize:
        # With the initial values the warp only copies.
        for parameter in module.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return module


def encode(module, features):
    """Maps of frames whose colours are some of their features."""
    return module.encode(features, features[:, :3])


def run(module, masks, features):
    """Propagate from frame 0 to all frames."""
    maps = per_frame(encode(module, features))
    return module(masks, maps[0], maps)


def case(num_masks=3, size=(7, 9)):
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(num_masks, *size, generator=generator, dtype=torch.float64)
    features = torch.randn(3, 6, *size, generator=generator, dtype=torch.float64)
    return masks, features.requires_grad_()


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("hidden", [0, 4])
@pytest.mark.parametrize("affinity", [None, {"channels": 4, "stride": 2}])
def test_fused_equals_literal_in_values_and_gradients(affinity, hidden, background):
    masks, features = case()
    outputs, gradients = [], []
    for impl in ("literal", "fused"):
        module = branch(impl, hidden, background, affinity=affinity)
        output = run(module, masks, features)
        weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        inputs = [features, *module.parameters()]
        outputs.append(output)
        gradients.append(torch.autograd.grad((output * weights).sum(), inputs))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-10)
    for a, b in zip(*gradients, strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_instance_features_match_the_output():
    masks, features = case()
    module = branch("literal")
    source, target, _ = per_frame(encode(module, features))
    phi = module.instance_features(masks, source, target) + target["features"]
    logits = torch.cat([module.classifier(phi)[:, 0], torch.zeros_like(target["attention"])])
    expected = module(masks, source, [target])[0]
    torch.testing.assert_close(logits.softmax(0)[:3] * target["attention"], expected)


def test_encoding_commutes_with_the_difference():
    torch.manual_seed(0)
    predictor = OffsetPredictor(6, 8, [1, 2, 3], 4).double()
    a, b = torch.randn(2, 1, 6, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(
        predictor.encode(a) - predictor.encode(b), predictor.encode(a - b), rtol=0, atol=1e-12
    )


def test_initial_offsets_are_zero():
    module = branch(randomize=False)
    maps = encode(module, case()[1])
    offsets = module.offset_predictor(maps["motion"][:1] - maps["motion"])
    assert offsets.shape == (3, 27, 2, 7, 9)
    assert (offsets == 0).all()


def test_softmax_over_instances_and_background():
    masks, features = case()
    with_background = run(branch(), masks, features).sum(1)
    attention = encode(branch(), features)["attention"][:, 0]
    assert (with_background < attention).all()
    torch.testing.assert_close(run(branch(background=False), masks, features).sum(1), attention)


@pytest.mark.parametrize("impl", ["literal", "fused"])
@pytest.mark.parametrize("hidden", [0, 4])
def test_no_instances(impl, hidden):
    masks, features = case(num_masks=0)
    assert run(branch(impl, hidden), masks, features).shape == (3, 0, 7, 9)


def test_unknown_implementation_raises():
    with pytest.raises(ValueError, match="IMPL must be 'fused' or 'literal', got 'fast'"):
        branch("fast")


@pytest.mark.parametrize("numbers", [1, 7 * 9 * 16 * 2])
def test_result_does_not_depend_on_batch_size(numbers, monkeypatch):
    masks, features = case()
    expected = run(branch(), masks, features)
    monkeypatch.setattr(propagation, "CPU_BATCH_NUMEL", numbers)
    torch.testing.assert_close(run(branch(), masks, features), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", ["fused", "literal"])
@pytest.mark.parametrize("hidden", [0, 4])
def test_mixed_precision_costs_little_accuracy(hidden, impl):
    module, (masks, features) = branch(hidden=hidden).float(), case(size=(7, 90))
    module.impl = impl
    masks, features = masks.float(), features.float()
    expected = run(module, masks, features)
    with torch.autocast("cpu", torch.bfloat16):
        output = run(module, masks, features)
    assert (output - expected).abs().mean() < 0.02
    (gradient,) = torch.autograd.grad(output.sum(), module.offset_predictor.conv1.weight)
    assert gradient.abs().max() > 0
