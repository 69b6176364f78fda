"""Decoding with cached steps: greedy, sampling and beams, under the names of the Hub's `generate`."""

from trueband.optimized.generation.rules import GenerateOutput

__all__ = ["GenerateOutput"]
