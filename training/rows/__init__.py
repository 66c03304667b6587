"""Uploaded training data, whatever its format, to canonical rows with a split.

    file -> containers.records() -> shapes.Reader.read() -> canonical.write() -> rows.jsonl + Report

Everything streams: memory is bounded by the largest row (`containers.MAX_ROW_BYTES`) and 16 bytes a row.
"""

from training.rows.canonical import Report, split_of, write
from training.rows.problems import Problem

__all__ = ["Problem", "Report", "split_of", "write"]
