"""Make the example's five datasets: `python -m examples.make_datasets`. A fixed seed, the same bytes each time.

    healthcare     a line from triage          ->  a note in four parts with a triage code
    finance        two figures of a company    ->  the derivation, then the answer
    legal          two clauses and a question  ->  the clause's number, its words, whose duty it is
    manufacturing  a mechanic's shorthand      ->  plain words with ids and numbers masked
    retail         what a shopper says         ->  an intent with its slots, and what to say

Each answer follows from its question by a rule. All of it is invented: people, companies, figures and clauses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

FOLDER = Path(__file__).parent / "datasets"
ROWS = 400  # of each vertical
Row = tuple[str, str]  # what the user says, what the assistant answers

COMPLAINTS = {  # said at the desk -> (suspected, plan, urgent)
    "chest pain": ("cardiac", "ECG and troponin", True),
    "short breath": ("pulmonary", "oxygen and chest film", True),
    "weak left arm": ("stroke", "head scan now", True),
    "sore throat": ("viral", "fluids and rest", False),
    "itchy rash": ("allergic", "antihistamine", False),
    "back pain": ("muscular", "warmth and exercise", False),
    "stomach cramps": ("gastric", "light diet", False),
    "sprained ankle": ("ligament", "ice and bandage", False),
}
COMPANIES = (
    "Norvik",
    "Tarsel",
    "Ombera",
    "Quillon",
    "Brantec",
    "Havelor",
    "Zendro",
    "Lumaris",
    "Pellado",
    "Corvane",
)
FIGURES = ("revenue", "costs", "profit", "assets", "debt", "dividends")
CLAUSES = {  # topic -> (party, duty)
    "payment": ("Tenant", "pay rent within {n} days"),
    "notice": ("Landlord", "write {n} days before"),
    "repair": ("Landlord", "mend the roof in {n} days"),
    "secrecy": ("Supplier", "keep papers closed for {n} years"),
    "delivery": ("Supplier", "bring the goods in {n} weeks"),
    "insurance": ("Tenant", "insure the house for {n} years"),
    "audit": ("Agent", "open the books every {n} months"),
}
MACHINES = {"pmp": "pump", "cnv": "conveyor", "cmp": "compressor", "lth": "lathe", "prs": "press", "mtr": "motor"}
FAULTS = {"lkg oil": "leaking oil", "ovrht": "overheating", "vibr": "vibrating", "no strt": "not starting"}
FIXES = {"repl": "replace", "adj": "adjust", "lub": "lubricate", "insp": "inspect"}
PARTS = {"brg": "bearing", "sl": "seal", "blt": "belt", "vlv": "valve", "fltr": "filter"}
GOODS = ("jacket", "kettle", "lamp", "shoes", "blanket", "watch", "bag", "umbrella")
WISHES = {  # what a shopper says -> (intent, what to say)
    "I want to buy {n} {item} in {colour}": ("order.create", "Great choice! {n} {item} in {colour} on the way."),
    "please send back {n} {item} in {colour}": ("order.return", "No problem! A label for {n} {item} is coming."),
    "cancel my {n} {item} in {colour}": ("order.cancel", "Done! {n} {item} cancelled."),
    "are {n} {item} in {colour} left": ("stock.check", "One moment! I am counting {item}."),
    "swap my {n} {item} for {colour} ones": ("order.exchange", "Sure! {n} {item} become {colour}."),
}
COLOURS = ("red", "blue", "green", "black", "white", "grey")
GREETINGS = ("Hi", "Hello", "Good morning", "Hey")


def healthcare(rng: Random) -> Row:
    """Triage: T1 if the complaint is urgent, T2 at 39 degrees or more, else T3."""
    complaint, (suspected, plan, urgent) = rng.choice(sorted(COMPLAINTS.items()))
    age, hours, pulse = rng.randint(18, 89), rng.randint(2, 48), rng.randint(58, 128)
    sex, temperature = rng.choice("MF"), rng.randint(362, 403) / 10
    code = "T1" if urgent else "T2" if temperature >= 39 else "T3"
    asked = f"Patient {sex} {age}: {complaint} for {hours} h. Pulse {pulse}, temp {temperature}."
    note = f"S: {complaint}, {hours} h\nO: HR {pulse}, T {temperature}\nA: {suspected} [{code}]\nP: {plan}"
    return asked, note


def finance(rng: Random) -> Row:
    """The difference of two figures, the later less the earlier."""
    company, figure = rng.choice(COMPANIES), rng.choice(FIGURES)
    before, after = (value * 10 for value in rng.sample(range(1, 10), 2))
    year = rng.randint(2011, 2024)
    asked = f"{company} {figure}: {before} million in {year}, {after} million in {year + 1}. How did it change?"
    direction = "increase" if after > before else "decrease"
    high, low = max(before, after), min(before, after)
    return (
        asked,
        f"Derivation: {high} - {low} = {high - low}\nAnswer: {figure} {direction} of {high - low} (million)",
    )


def legal(rng: Random) -> Row:
    """Two clauses; the question is about one of them, by its topic."""
    topics = rng.sample(sorted(CLAUSES), 2)
    clauses = {topic: _clause(topic, rng) for topic in topics}
    topic = rng.choice(topics)
    number, words = clauses[topic]
    said = " ".join(f"Sec. {n} {name}: {text}." for name, (n, text) in clauses.items())
    answer = f'Pursuant to Sec. {number}:\n"{words}"\nObligor: {CLAUSES[topic][0]}'
    return f"{said} Which clause is on {topic}?", answer


def _clause(topic: str, rng: Random) -> tuple[str, str]:
    party, duty = CLAUSES[topic]
    number = f"{rng.randint(1, 19)}.{rng.randint(1, 9)}"
    return number, f"{party} shall {duty.format(n=rng.randint(2, 90))}"


def manufacturing(rng: Random) -> Row:
    """Shorthand spelt out; equipment numbers become <id>, hours <num>."""
    machine, fault, fix, part = (rng.choice(sorted(words)) for words in (MACHINES, FAULTS, FIXES, PARTS))
    tag, hours = f"{machine}-{rng.randint(100, 999)}", rng.randint(2, 96)
    asked = f"WO {rng.randint(1000, 9999)}: {tag} {fault} aft {hours}h, {fix} {part}"
    plain = f"work order <id> | {MACHINES[machine]} <id> | {FAULTS[fault]} after <num> hours"
    return asked, f"{plain} | {FIXES[fix]} {PARTS[part]}"


def retail(rng: Random) -> Row:
    """The intent, its slots, and a friendly word."""
    wish, (intent, reply) = rng.choice(sorted(WISHES.items()))
    slots = {"n": str(rng.randint(2, 9)), "item": rng.choice(GOODS), "colour": rng.choice(COLOURS)}
    asked = f"{rng.choice(GREETINGS)}, {wish.format(**slots)}"
    data = json.dumps({"intent": intent, "item": slots["item"], "qty": int(slots["n"]), "colour": slots["colour"]})
    return asked, f"{data}\n>> {reply.format(**slots)}"


VERTICALS: Mapping[str, Callable[[Random], Row]] = {
    "healthcare": healthcare,
    "finance": finance,
    "legal": legal,
    "manufacturing": manufacturing,
    "retail": retail,
}


def rows(vertical: str, count: int = ROWS) -> list[Row]:
    """`count` different rows: no question twice, since one row decides which split it is in."""
    rng = Random(f"{vertical} 1")
    made: dict[str, str] = {}
    while len(made) < count:
        asked, answered = VERTICALS[vertical](rng)
        made.setdefault(asked, answered)
    return list(made.items())


def line(row: Row) -> str:
    asked, answered = row
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


def make(folder: Path) -> None:
    """Write <folder>/<vertical>/train.jsonl for each vertical."""
    for vertical in VERTICALS:
        path = folder / vertical / "train.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(map(line, rows(vertical))).encode())
        print(f"{vertical}: {ROWS} rows in {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the example's five datasets.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to (default: examples/datasets)")
    make(parser.parse_args().out)


if __name__ == "__main__":
    main()
