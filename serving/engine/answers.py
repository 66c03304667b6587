"""What callers get: OpenAI's shapes, whole or in chunks. Nothing here knows how the tokens came to be."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from serving.engine.generation import Piece
from serving.engine.sampling import Token


@dataclass
class Answer:
    """One completion on its way to the caller: its id, and what all its chunks share."""

    model: str
    chat: bool
    tokenizer: Any
    prompt_tokens: int
    logprobs: bool
    ids_as_tokens: bool
    usage_in_chunks: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))
    characters: int = 0  # of text given out so far, for text_offset

    def whole(self, pieces: list[Piece], generated: int) -> dict[str, Any]:
        """The answer in one body."""
        text = "".join(piece.text for piece in pieces)
        tokens = [token for piece in pieces for token in piece.tokens]
        choice: dict[str, Any] = {"index": 0, "finish_reason": pieces[-1].finish}
        choice |= {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice["logprobs"] = self._logprobs(tokens)
        return self._body("", [choice]) | {"usage": self.usage(generated)}

    def opening(self) -> dict[str, Any]:
        """The first chunk of a chat: who speaks."""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return self._chunk(choice, 0)

    def chunk(self, piece: Piece, generated: int) -> dict[str, Any]:
        """One chunk of a stream; `generated` tokens so far."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": piece.finish}
        choice |= {"delta": {"content": piece.text}} if self.chat else {"text": piece.text}
        choice["logprobs"] = self._logprobs(list(piece.tokens))
        self.characters += len(piece.text)
        return self._chunk(choice, generated)

    def closing(self, generated: int) -> dict[str, Any]:
        """The chunk after the last: usage, no choices."""
        return self._body(".chunk", []) | {"usage": self.usage(generated)}

    def usage(self, generated: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": generated,
            "total_tokens": self.prompt_tokens + generated,
        }

    def _chunk(self, choice: dict[str, Any], generated: int) -> dict[str, Any]:
        body = self._body(".chunk", [choice])
        return body | {"usage": self.usage(generated)} if self.usage_in_chunks else body

    def _body(self, part: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = f"chat.completion{part}" if self.chat else "text_completion"
        prefix = "chatcmpl" if self.chat else "cmpl"
        return {
            "id": f"{prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _logprobs(self, tokens: list[Token]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        return self._chat_logprobs(tokens) if self.chat else self._text_logprobs(tokens)

    def _chat_logprobs(self, tokens: list[Token]) -> dict[str, Any]:
        return {
            "content": [
                self._entry(token.id, token.logprob)
                | {"top_logprobs": [self._entry(other, logprob) for other, logprob in token.top]}
                for token in tokens
            ]
        }

    def _entry(self, token: int, logprob: float | None) -> dict[str, Any]:
        name = self._name(token)
        return {"token": name, "logprob": logprob, "bytes": list(name.encode())}

    def _text_logprobs(self, tokens: list[Token]) -> dict[str, Any]:
        names = [self._name(token.id) for token in tokens]
        offsets = [self.characters + sum(map(len, names[:at])) for at in range(len(names))]
        return {
            "tokens": names,
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [
                {self._name(other): logprob for other, logprob in (*token.top, (token.id, token.logprob))}
                for token in tokens
            ],
            "text_offset": offsets,
        }

    def _name(self, token: int) -> str:
        if self.ids_as_tokens:
            return f"token_id:{token}"
        text: str = self.tokenizer.decode([token])
        return text


def model_card(name: str, root: str, parent: str | None, context: int) -> dict[str, Any]:
    """One entry of /v1/models: an adapter's card has its base as parent, and the path of its files as root."""
    return {
        "id": name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "plethora",
        "root": root,
        "parent": parent,
        "max_model_len": context,
        "permission": [],
    }
