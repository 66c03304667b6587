"""Records to canonical rows: {"messages"}, {"prompt", "completion"} or {"text"}, and nothing else.

The first row that has a known shape decides for the whole file: a mixture is more often a mistake than a wish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from training.rows.containers import Record
from training.rows.problems import Problem, shown

Row = dict[str, Any]
ROLES = ("system", "user", "assistant")
SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
MAX_MESSAGES = 1000
KNOWN = "messages; prompt and completion; text; instruction and output (Alpaca); conversations (ShareGPT)"


class Reader:
    """Reads the rows of one file, all of one shape; `ignored` collects the fields that no shape uses."""

    def __init__(self) -> None:
        self.shape = ""
        self.ignored: set[str] = set()

    def read(self, record: Record) -> Row:
        """The canonical row. Raises Problem naming it."""
        line, value = record.line, record.value
        if not isinstance(value, dict):
            raise Problem(line, "not_an_object", f"row {line} is {_kind(value)}, not an object with {KNOWN}")
        name = _shape_of(value)
        if not name:
            found = ", ".join(shown(key) for key in list(value)[:10]) or "no fields"
            raise Problem(line, "unknown_fields", f"row {line} has {found} alone; it needs one of: {KNOWN}")
        self.shape = self.shape or name
        if name != self.shape:
            text = (
                f"row {line} has the shape {name}, the rows before it {self.shape}; a file holds rows of one shape"
            )
            raise Problem(line, "mixed_shapes", text)
        fields, convert = SHAPES[name]
        if len(self.ignored) < 20:
            self.ignored |= value.keys() - fields
        return convert(line, value)


def _messages(line: int, value: Row) -> Row:
    return {"messages": _turns(line, value["messages"], role="role", content="content", roles=None)}


def _sharegpt(line: int, value: Row) -> Row:
    turns = _turns(line, value["conversations"], role="from", content="value", roles=SHAREGPT_ROLES)
    return {"messages": turns}


def _alpaca(line: int, value: Row) -> Row:
    instruction, given = _string(line, value, "instruction"), _string(line, value, "input", optional=True)
    turns = [
        {"role": "user", "content": f"{instruction}\n\n{given}" if given else instruction},
        {"role": "assistant", "content": _answer(line, value, "output")},
    ]
    if system := _string(line, value, "system", optional=True):
        turns.insert(0, {"role": "system", "content": system})
    return {"messages": turns}


def _pair(prompt: str, completion: str) -> Callable[[int, Row], Row]:
    def convert(line: int, value: Row) -> Row:
        return {"prompt": _string(line, value, prompt), "completion": _answer(line, value, completion)}

    return convert


def _only_text(line: int, value: Row) -> Row:
    return {"text": _answer(line, value, "text")}


# name -> (its fields, how it becomes canonical); the first two that are named are needed, but for one-field shapes
SHAPES: Mapping[str, tuple[tuple[str, ...], Callable[[int, Row], Row]]] = {
    "messages": (("messages",), _messages),
    "sharegpt": (("conversations",), _sharegpt),
    "prompt_completion": (("prompt", "completion"), _pair("prompt", "completion")),
    "alpaca": (("instruction", "output", "input", "system"), _alpaca),
    "question_answer": (("question", "answer"), _pair("question", "answer")),
    "prompt_response": (("prompt", "response"), _pair("prompt", "response")),
    "text": (("text",), _only_text),
}


def _shape_of(value: Row) -> str:
    return next((name for name, (fields, _) in SHAPES.items() if all(f in value for f in fields[:2])), "")


def _turns(line: int, turns: Any, *, role: str, content: str, roles: Mapping[str, str] | None) -> list[Row]:
    if not isinstance(turns, list):
        raise Problem(line, "bad_messages", f"row {line}: messages is {_kind(turns)}, not a list of turns")
    if not turns:
        raise Problem(line, "no_messages", f"row {line}: messages is empty")
    if len(turns) > MAX_MESSAGES:
        raise Problem(line, "too_many_messages", f"row {line} has {len(turns)} turns; {MAX_MESSAGES} at most")
    read = [_turn(line, index, turn, (role, content), roles) for index, turn in enumerate(turns, 1)]
    _check_order(line, read)
    return read


def _turn(line: int, index: int, turn: Any, keys: tuple[str, str], roles: Mapping[str, str] | None) -> Row:
    where = f"row {line}, turn {index}"
    if not isinstance(turn, dict) or not all(key in turn for key in keys):
        raise Problem(line, "bad_turn", f"{where}: a turn is an object with {keys[0]!r} and {keys[1]!r}")
    given, content = turn[keys[0]], turn[keys[1]]
    known = roles or {name: name for name in ROLES}
    if not isinstance(given, str) or given not in known:
        raise Problem(line, "unknown_role", f"{where}: role {shown(given)}; one of {', '.join(known)}")
    if content is None:
        raise Problem(line, "empty_turn", f"{where}: the {given}'s content is null")
    if not isinstance(content, str):
        raise Problem(
            line, "bad_content", f"{where}: content is {_kind(content)}; only plain text can be trained on"
        )
    if not content.strip() and known[given] != "system":
        raise Problem(line, "empty_turn", f"{where}: the {given}'s content is empty")
    return {"role": known[given], "content": _clean(line, content)}


def _check_order(line: int, turns: list[Row]) -> None:
    """An optional system turn, then user and assistant in turn, assistant last: all templates render that."""
    spoken = turns[1:] if turns[0]["role"] == "system" else turns
    for index, turn in enumerate(spoken):
        wanted = "assistant" if index % 2 else "user"
        if turn["role"] != wanted:
            place = index + 1 + len(turns) - len(spoken)
            text = (
                f"row {line}, turn {place} is the {turn['role']}'s; turns alternate, so the {wanted} speaks here"
            )
            raise Problem(line, "turn_order", text)
    if len(spoken) % 2 or not spoken:
        raise Problem(line, "no_answer", f"row {line} doesn't end with the assistant's answer: nothing to learn")


def _string(line: int, value: Row, field: str, *, optional: bool = False) -> str:
    text = value.get(field)
    if text is None and optional:
        return ""
    if not isinstance(text, str):
        raise Problem(line, "bad_content", f"row {line}: {field} is {_kind(text)}, not text")
    return _clean(line, text)


def _answer(line: int, value: Row, field: str) -> str:
    text = _string(line, value, field)
    if not text.strip():
        raise Problem(line, "empty_answer", f"row {line}: {field} is empty: nothing to learn")
    return text


def _clean(line: int, text: str) -> str:
    """Text that UTF-8 can hold. A lone surrogate is a byte that was none, or half of a \\u pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            raise Problem(
                line, "not_utf8", f"row {line} is not UTF-8 (0x{code - 0xDC00:02X}): convert the file to UTF-8"
            ) from error
        text = f"row {line} has half of a surrogate pair (\\u{code:04x}), which no text can hold"
        raise Problem(line, "bad_text", text) from error
    return text


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
