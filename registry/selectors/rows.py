"""Lines of `rows.jsonl`: the digest and the split that stand at their end."""

from __future__ import annotations

import hashlib
import json
import re

WRITTEN = re.compile(rb'"sha256":"([0-9a-f]{64})","split":"([a-z]+)"\}\s*$')  # as validation ends its lines


def identity(line: bytes) -> tuple[bytes, str]:
    """Digest and split of the row; the digest is made anew where another program wrote the line."""
    written = WRITTEN.search(line)
    if written is not None:
        return bytes.fromhex(written[1].decode()), written[2].decode()
    row = json.loads(line)
    body = {key: value for key, value in row.items() if key not in ("sha256", "split")}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest(), str(row.get("split", ""))
