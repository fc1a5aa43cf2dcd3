import pytest
import torch
from torch.nn import functional as F

from maskprop_d2.errors import InputError
from maskprop_d2.networks.affinity import AffinityReadout, pooled_keys


def readout(stride=1, channels=5):
    torch.manual_seed(0)
    return AffinityReadout(in_channels=6, channels=channels, stride=stride).double()


def random_case(num_masks=3, size=(5, 7), keys=5):
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(num_masks, *size, generator=generator, dtype=torch.float64) / num_masks
    vectors = torch.randn(3, keys, *size, generator=generator, dtype=torch.float64)
    return masks, F.normalize(vectors, dim=1)


def shares_by_definition(module, masks, source, target):
    """The formula of the class, with its (P, Q) matrix."""
    height, width = source.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([y.flatten(), x.flatten()], 1).double()
    distances = (places[:, None] - places[None]).square().sum(-1)
    similarity = target.flatten(1).T @ source.flatten(1)
    affinity = (module.log_scale.exp() * similarity - module.log_penalty.exp() * distances).softmax(
        1
    )
    values = torch.cat([masks, 1 - masks.sum(0, keepdim=True)]).flatten(1)
    return (affinity @ values.T).T.unflatten(1, (height, width))


@pytest.mark.parametrize("num_masks", [0, 1, 3, 20])
def test_shares_follow_the_definition_in_values_and_gradients(num_masks):
    module = readout()
    module.log_penalty.data.fill_(-2.0)
    masks, keys = random_case(num_masks)
    keys.requires_grad_()
    fast = module.read(masks, keys[0], keys[1:])
    slow = torch.stack([shares_by_definition(module, masks, keys[0], x) for x in keys[1:]])
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    torch.testing.assert_close(fast.sum(1), torch.ones_like(fast[:, 0]), rtol=0, atol=1e-10)
    weights = torch.linspace(-1, 1, fast.numel(), dtype=fast.dtype).view_as(fast)
    inputs = [keys, module.log_scale, module.log_penalty]
    for a, b in zip(
        torch.autograd.grad((fast * weights).sum(), inputs),
        torch.autograd.grad((slow * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_mask_follows_cells_that_look_alike(stride):
    """The object moves by more than its size, onto cells that nothing in the warp would reach."""
    module = readout(stride).float()
    colors = torch.zeros(2, 3, 16, 24)
    colors[0, 0, 4:10, 2:8] = 3.0
    colors[1, 0, 6:12, 16:22] = 3.0
    masks = torch.zeros(1, 16, 24)
    masks[0, 4:10, 2:8] = 1.0
    keys = module.encode(torch.zeros(2, 6, 16, 24), colors)
    assert keys.shape == (2, 5, 16 // stride, 24 // stride)
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(2, 16 // stride, 24 // stride))
    with torch.no_grad():
        module.log_scale.fill_(5.0)
        module.log_penalty.fill_(-20.0)
        logits = module(masks, keys[0], keys[1:])[0]
    inside = logits[0] > logits[1]
    assert inside[8:10, 18:20].all() and not inside[4:10, 2:8].any()


def test_distance_penalty_prefers_the_nearer_of_two_twins():
    module = readout().float()
    keys = torch.ones(2, 5, 1, 9) / 5**0.5
    masks = torch.zeros(2, 1, 9)
    masks[0, 0, 1] = masks[1, 0, 7] = 1.0
    with torch.no_grad():
        module.log_penalty.fill_(0.0)
        shares = module.read(masks, keys[0], keys[1:])[0]
    assert shares[0, 0, 2] > 10 * shares[1, 0, 2] and shares[1, 0, 6] > 10 * shares[0, 0, 6]


def test_affinities_are_not_stored():
    module = readout(channels=8).float()
    height, width = 96, 128
    keys = F.normalize(torch.randn(2, 8, height, width), dim=1).requires_grad_()
    saved = []

    def pack(x):
        saved.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        module(torch.rand(2, height, width), keys[0], keys[1:]).sum().backward()
    assert sum(saved) < (height * width) ** 2 / 20


def test_pooled_keys_are_mean_keys_of_unit_length():
    keys = F.normalize(torch.randn(5, 4, 6), dim=0)
    masks = torch.zeros(3, 8, 12)
    masks[0, :2, :2] = 1.0
    masks[1, 4:8, 2:6] = 1.0
    pooled = pooled_keys(keys, masks)
    torch.testing.assert_close(pooled[0], keys[:, 0, 0])
    torch.testing.assert_close(pooled[1], F.normalize(keys[:, 2:4, 1:3].flatten(1).mean(1), dim=0))
    assert (pooled[2] == 0).all()


def test_with_a_power_cells_at_the_border_of_a_mask_hardly_count():
    keys = F.normalize(torch.randn(5, 4, 6), dim=0)
    mask = torch.zeros(1, 8, 12)
    mask[0, :2, :2] = 1.0
    mask[0, :2, 2] = 1.0  # Half of the next cell.
    assert pooled_keys(keys, mask, 4)[0] @ keys[:, 0, 0] > 0.99


@pytest.mark.parametrize("options", [{"stride": 0}, {"channels": 0}, {"stride": 1.5}])
def test_impossible_options_are_named(options):
    with pytest.raises(InputError, match=rf"AFFINITY\.{next(iter(options)).upper()} must be"):
        AffinityReadout(**{"in_channels": 4, "channels": 8, "stride": 1, **options})
