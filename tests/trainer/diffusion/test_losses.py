"""The losses: pinned values on tiny tensors, and what they must be by definition."""

import pytest
import torch
from diffusers import DDPMScheduler

from trainer.diffusion.losses import dreambooth_loss
from trainer.noise.ddpm import DiscreteDiffusion


def scheduler(prediction_type: str) -> DDPMScheduler:
    return DDPMScheduler(10, beta_start=0.1, beta_end=0.5, prediction_type=prediction_type)


def process(prediction_type: str) -> DiscreteDiffusion:
    return DiscreteDiffusion(scheduler(prediction_type))


def test_eq_2_is_instance_loss_plus_weighted_prior_loss() -> None:
    wanted = torch.zeros(3, 4, 2, 2)
    predicted = torch.cat([torch.full((1, 4, 2, 2), 2.0), torch.full((2, 4, 2, 2), 3.0)])
    loss, instance, prior = dreambooth_loss(predicted, wanted, instances=1, prior_weight=0.5)
    assert (instance.item(), prior.item(), loss.item()) == (4.0, 9.0, 8.5)


def test_without_class_examples_there_is_no_prior() -> None:
    loss, instance, prior = dreambooth_loss(torch.ones(2, 4, 2, 2), torch.zeros(2, 4, 2, 2), 2, prior_weight=1)
    assert (loss.item(), instance.item(), prior.item()) == (1.0, 1.0, 0.0)


def test_the_prior_does_not_reach_the_gradient_of_the_instance_rows() -> None:
    predicted = torch.ones(2, 4, 2, 2, requires_grad=True)
    dreambooth_loss(predicted, torch.zeros(2, 4, 2, 2), instances=1, prior_weight=3.0)[0].backward()
    assert predicted.grad is not None
    assert torch.allclose(predicted.grad[1], 3 * predicted.grad[0])


def test_min_snr_pinned() -> None:
    t = torch.tensor([0, 1])  # signal-to-noise ratios of 9.0 and 3.56
    assert process("epsilon").snr_weights(t, 5.0).tolist() == pytest.approx([5 / 9, 1.0], abs=1e-3)
    assert process("v_prediction").snr_weights(t, 5.0).tolist() == pytest.approx([0.5, 3.556 / 4.556], abs=2e-2)
    loss, *_ = dreambooth_loss(torch.ones(2, 4, 2, 2), torch.zeros(2, 4, 2, 2), 1, 1.0, torch.tensor([0.5, 0.25]))
    assert loss.item() == 0.75


def test_targets_pinned() -> None:
    clean, noise, t = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), -1.0), torch.tensor([4])
    assert process("epsilon").target(clean, noise, t) is noise
    velocity = process("v_prediction").target(clean, noise, t).item()
    assert velocity == pytest.approx(-2.2057, abs=1e-3)


def test_velocity_and_noisy_latents_give_back_the_clean_ones() -> None:
    s = scheduler("v_prediction")
    clean, noise, t = torch.randn(5, 4, 3, 3), torch.randn(5, 4, 3, 3), torch.randint(10, (5,))
    a = s.alphas_cumprod[t].sqrt().view(-1, 1, 1, 1)
    restored = a * s.add_noise(clean, noise, t) - (1 - a**2).sqrt() * DiscreteDiffusion(s).target(clean, noise, t)
    assert torch.allclose(restored, clean, atol=1e-5)


def test_another_prediction_type_is_refused() -> None:
    x = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match="sample cannot be trained"):
        process("sample").target(x, x, torch.tensor([0]))
