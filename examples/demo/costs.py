"""Five adapters against five full copies: arithmetic over a model's shapes, nothing downloaded."""

from __future__ import annotations

from dataclasses import dataclass

BYTES = 2  # bfloat16
COPIES = 5


@dataclass(frozen=True)
class Llama:
    """The shapes of a configuration; heads of keys and values are fewer than those of queries."""

    name: str
    hidden: int
    inner: int
    layers: int
    kv_width: int  # key/value heads x head size
    vocabulary: int

    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each linear of one layer."""
        return {
            "q_proj": (self.hidden, self.hidden),
            "k_proj": (self.hidden, self.kv_width),
            "v_proj": (self.hidden, self.kv_width),
            "o_proj": (self.hidden, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    def parameters(self) -> int:
        """Linears and two norms a layer, a last norm, embedding and head."""
        layer = sum(a * b for a, b in self.linears().values()) + 2 * self.hidden
        return self.layers * layer + self.hidden + 2 * self.vocabulary * self.hidden

    def lora_parameters(self, rank: int, targets: tuple[str, ...] | None = None) -> int:
        """A is (rank x in), B is (out x rank); all linears where `targets` is left out."""
        chosen = {name: shape for name, shape in self.linears().items() if targets is None or name in targets}
        return self.layers * rank * sum(a + b for a, b in chosen.values())


LLAMA_8B = Llama("Llama 8B", 4096, 14336, 32, 1024, 128256)
LLAMA_70B = Llama("Llama 70B", 8192, 28672, 80, 1024, 128256)


def comparisons() -> list[tuple[str, str, int, int]]:
    """(model, what is adapted, bytes of one adapter, bytes of one full copy)."""
    found = []
    for model in (LLAMA_8B, LLAMA_70B):
        for words, targets in (("rank 16: q, v", ("q_proj", "v_proj")), ("rank 16: all linear", None)):
            found.append(
                (model.name, words, BYTES * model.lora_parameters(16, targets), BYTES * model.parameters())
            )
    return found
