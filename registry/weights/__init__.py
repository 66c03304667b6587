"""Checks of adapter files before anything trusts them. No Django, no torch.

header.py: a safetensors header, read by our own rules;  config.py: adapter_config.json by schema;
adapter.py: both together, against a base version's module table;  archive.py: a zip of them, unpacked with care.
"""

from registry.weights.adapter import AdapterFacts, check_adapter
from registry.weights.header import Header, Tensor, read_header
from registry.weights.problems import WeightsError

__all__ = ["AdapterFacts", "Header", "Tensor", "WeightsError", "check_adapter", "read_header"]
