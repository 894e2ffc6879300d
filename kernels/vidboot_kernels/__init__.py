"""Ops of factorized video nets. Imports nothing of vidboot; triton only when a kernel is asked for."""

from vidboot_kernels.attention import spatial_attention, temporal_attention
from vidboot_kernels.choice import Backend
from vidboot_kernels.modulation import gated_modulated
from vidboot_kernels.reference import Rotary, modulated

__all__ = ["Backend", "Rotary", "gated_modulated", "modulated", "spatial_attention", "temporal_attention"]
