"""What callers may send: OpenAI's bodies, checked field by field. What can't be honoured is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.engine.errors import BadRequest
from serving.engine.sampling import Sampling

MOST_LOGPROBS = 20
MOST_STOPS = 16

# Fields of OpenAI's API and of vLLM's that change the answer and that this engine doesn't have, with the values
# that mean "off".
UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "tools": (None, []),
    "functions": (None, []),
    "response_format": (None, {"type": "text"}),
    "min_p": (None, 0),
    "repetition_penalty": (None, 1),
    "length_penalty": (None, 1),
    "min_tokens": (None, 0),
    "stop_token_ids": (None, []),
    "include_stop_str_in_output": (None, False),
    "skip_special_tokens": (None, True),
    "spaces_between_special_tokens": (None, True),
    "truncate_prompt_tokens": (None,),
    "allowed_token_ids": (None, []),
    "bad_words": (None, []),
    "use_beam_search": (None, False),
    "prompt_logprobs": (None,),
    "prompt_embeds": (None,),
    "logits_processors": (None, []),
    "structured_outputs": (None,),
    "guided_json": (None,),
    "guided_regex": (None,),
    "guided_choice": (None,),
    "guided_grammar": (None,),
    "guided_decoding_backend": (None,),
    "chat_template": (None,),
    "chat_template_kwargs": (None, {}),
    "add_generation_prompt": (None, True),
    "continue_final_message": (None, False),
    "documents": (None, []),
    "reasoning_effort": (None, "none"),
}
# What each kind of completion does by itself: text gets the tokenizer's special tokens, a template brings its own.
ADDS_SPECIAL_TOKENS = {True: False, False: True}


@dataclass(frozen=True)
class Wish:
    """What both kinds of completion have in common."""

    model: str
    sampling: Sampling
    stop: tuple[str, ...]
    max_tokens: int | None
    stream: bool
    include_usage: bool
    usage_in_chunks: bool  # the counts so far in each chunk: whoever hangs up knows what it used
    ignore_eos: bool
    ids_as_tokens: bool  # write tokens in logprobs as "token_id:17", for texts of tokens may be equal


def read_wish(body: Mapping[str, Any], *, chat: bool) -> Wish:
    """Checks all common fields. Raises BadRequest that names the field."""
    for field, off in UNSUPPORTED.items():
        if body.get(field) not in off:
            raise BadRequest(f"{field} = {body[field]!r} is not supported by this engine", param=field)
    if body.get("add_special_tokens") not in (None, ADDS_SPECIAL_TOKENS[chat]):
        raise BadRequest("add_special_tokens can't be changed in this engine", param="add_special_tokens")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object", param="stream_options")
    most = "max_completion_tokens" if chat and body.get("max_completion_tokens") is not None else "max_tokens"
    return Wish(
        model=_text(body, "model"),
        sampling=_sampling(body, chat=chat),
        stop=_stop(body.get("stop")),
        max_tokens=_integer(body, most, None, least=1),
        stream=_flag(body, "stream"),
        include_usage=_flag(options, "include_usage"),
        usage_in_chunks=_flag(options, "continuous_usage_stats"),
        ignore_eos=_flag(body, "ignore_eos"),
        ids_as_tokens=_flag(body, "return_tokens_as_token_ids"),
    )


def read_prompt(body: Mapping[str, Any]) -> str | list[int]:
    """The prompt of /v1/completions: a text, or a list of token ids; a list of one of them is one of them."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return _encodable(prompt, "prompt")
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return prompt
    raise BadRequest("prompt must be one text or one non-empty list of token ids", param="prompt")


def read_messages(body: Mapping[str, Any]) -> list[dict[str, str]]:
    """The messages of /v1/chat/completions; parts of type text are joined."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a non-empty list", param="messages")
    return [_message(message, f"messages[{at}]") for at, message in enumerate(messages)]


def _message(message: Any, where: str) -> dict[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest(f"{where} must be an object with a role", param=where)
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise BadRequest(f"{where}.content may hold parts of type text only", param=where)
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise BadRequest(f"{where}.content must be a text", param=where)
    role = _encodable(message["role"], f"{where}.role")
    return {"role": role, "content": _encodable(content, f"{where}.content")}


def _encodable(text: str, where: str) -> str:
    """JSON may write half of a surrogate pair; no tokenizer and no answer can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"{where} has half of a surrogate pair at character {error.start}", param=where
        ) from error
    return text


def _sampling(body: Mapping[str, Any], *, chat: bool) -> Sampling:
    top_k = _integer(body, "top_k", 0, least=-1)
    return Sampling(
        temperature=_number(body, "temperature", 1.0, 0.0, 100.0),
        top_p=_number(body, "top_p", 1.0, 0.0, 1.0, open_below=True),
        top_k=max(top_k or 0, 0),
        seed=_integer(body, "seed", None, least=-(2**63)),
        logprobs=_chat_logprobs(body) if chat else _integer(body, "logprobs", None, least=0, most=MOST_LOGPROBS),
    )


def _chat_logprobs(body: Mapping[str, Any]) -> int | None:
    count = _integer(body, "top_logprobs", None, least=0, most=MOST_LOGPROBS)
    if not _flag(body, "logprobs"):
        if count:
            raise BadRequest("top_logprobs needs logprobs: true", param="top_logprobs")
        return None
    return count or 0


def _stop(stop: Any) -> tuple[str, ...]:
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(each, str) and each for each in stops):
        raise BadRequest("stop must be a non-empty text or a list of them", param="stop")
    if len(stops) > MOST_STOPS:
        raise BadRequest(f"stop may hold {MOST_STOPS} texts, not {len(stops)}", param="stop")
    return tuple(_encodable(each, "stop") for each in stops)


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{field} must be a non-empty text", param=field)
    return _encodable(value, field)


def _flag(body: Mapping[str, Any], field: str) -> bool:
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{field} must be true or false", param=field)
    return bool(value)


def _integer(
    body: Mapping[str, Any], field: str, default: int | None, *, least: int, most: int = 2**63 - 1
) -> int | None:
    value = body.get(field)
    if value is None:
        return default
    if type(value) is not int or not least <= value <= most:
        upper = "" if most == 2**63 - 1 else f" to {most}"
        raise BadRequest(f"{field} must be a whole number from {least}{upper}, not {value!r}", param=field)
    return value


def _number(
    body: Mapping[str, Any], field: str, default: float, least: float, most: float, *, open_below: bool = False
) -> float:
    value = body.get(field)
    if value is None:
        return default
    inside = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not inside or (open_below and value == least):
        raise BadRequest(f"{field} must be a number from {least} to {most}, not {value!r}", param=field)
    return float(value)


def read_load(body: Mapping[str, Any]) -> tuple[str, str]:
    """The name and path of /v1/load_lora_adapter."""
    return _text(body, "lora_name"), _text(body, "lora_path")


def read_unload(body: Mapping[str, Any]) -> str:
    """The name of /v1/unload_lora_adapter."""
    return _text(body, "lora_name")
