"""The correct kernel that the seeded faults start from, as a target of a campaign: NumPy, with gradients of its own."""

from trueband.properties.faults import Specimen, target_of

kernel = target_of(Specimen(), "specimen")
