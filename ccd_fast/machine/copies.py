"""Copies from the host to a device that the host does not wait for."""

import torch


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device: from the host to a GPU through pinned memory, behind what its stream has queued."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
