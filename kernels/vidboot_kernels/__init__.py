"""Attention ops of factorized video nets. Imports nothing of vidboot; triton only when a kernel is asked for."""

from vidboot_kernels.attention import Backend, Rotary, spatial_attention, temporal_attention

__all__ = ["Backend", "Rotary", "spatial_attention", "temporal_attention"]
