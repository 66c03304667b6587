"""General text for the tiny base model: everyday talk and plain stories, grown from a small grammar.

    "{name} has a {colour} {thing}."  ->  "Mara has a green kettle."      one slot, one word in the whole document

Most answers are found in the question, so that a model that learns this text learns to look back and to copy:
what an adapter needs to put into a form of its own. Nothing here resembles the verticals of `make_datasets.py`.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping
from random import Random

Message = dict[str, str]
Document = list[Message] | str  # a conversation, or a plain text
Maker = Callable[[Random], Document]

WORDS_OF = """
  name      Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Mara Noah Olga Paul Rosa Sam Tina Victor
  thing     ball book box bag chair coat cup door hat kettle key lamp letter map paper pen phone picture plate ring
  thing     shirt shoe spoon table ticket toy umbrella watch window wheel basket blanket bottle button candle clock
  colour    red blue green yellow black white brown grey orange pink purple golden
  size      small large big little long short tall wide thin heavy light old new clean empty full
  place     house garden kitchen school park shop station market library office river bridge street forest farm
  place     beach hotel museum church field room hall cellar yard harbour village town city
  food      apple bread cake cheese egg fish honey milk orange pear potato rice salad salt soup sugar tea tomato
  food      water carrot butter lemon onion plum coffee juice
  animal    cat dog horse cow sheep goat duck hen rabbit mouse fox bear bird frog pig owl swan donkey
  day       Monday Tuesday Wednesday Thursday Friday Saturday Sunday
  month     January February March April May June July August September October November December
  weather   sunny rainy cloudy windy cold warm hot snowy foggy stormy dry mild
  work      teacher baker driver farmer painter gardener cook singer writer tailor builder sailor clerk
  verb      bring carry check clean close count cut draw find fix hold keep lift mend move open order paint place
  verb      press pull push read replace send show start stop take test turn wash watch write pay return report
  relation  brother sister mother father friend neighbour uncle aunt cousin partner guest
  opposite  hot/cold big/small long/short old/new full/empty open/closed heavy/light wet/dry early/late fast/slow
  opposite  high/low near/far happy/sad loud/quiet soft/hard up/down left/right day/night first/last clean/dirty
"""


def words_by_slot(text: str) -> dict[str, tuple[str, ...]]:
    """Each line is a slot and its words; lines of the same slot add up."""
    words: dict[str, tuple[str, ...]] = {}
    for line in text.strip().splitlines():
        slot, *more = line.split()
        words[slot] = words.get(slot, ()) + tuple(more)
    return words


WORDS: Mapping[str, tuple[str, ...]] = words_by_slot(WORDS_OF)

# What is said, what is asked, what is answered. `{a}` is "a" or "an" for the word after it.
FACTS: tuple[tuple[str, str, str], ...] = (
    ("{name} has {a} {colour} {thing}.", "What does {name} have?", "{name} has {a} {colour} {thing}."),
    ("The {thing} of {name} is {colour}.", "Which colour is the {thing} of {name}?", "It is {colour}."),
    ("{name} put the {thing} in the {place}.", "Where is the {thing}?", "The {thing} is in the {place}."),
    ("{name} bought {count} {food}s.", "What did {name} buy?", "{name} bought {count} {food}s."),
    ("{name} is {age} years old.", "How old is {name}?", "{name} is {age} years old."),
    ("{name} will visit the {place} on {day}.", "When will {name} visit the {place}?", "On {day}."),
    ("{name} works as {a} {work}.", "What is the work of {name}?", "{name} is {a} {work}."),
    ("{name} feeds the {animal} at {hour}.", "When does {name} feed the {animal}?", "At {hour}."),
    ("The number of {name} is {code}.", "What is the number of {name}?", "The number is {code}."),
    (
        "The {place} opens at {hour} and closes at {later}.",
        "When does the {place} close?",
        "It closes at {later}.",
    ),
)
LATER_FACTS: tuple[tuple[str, str, str], ...] = (
    ("{name} must {verb} the {thing} before {day}.", "What must {name} do?", "{name} must {verb} the {thing}."),
    ("The {size} {thing} costs {count} coins.", "How much is the {size} {thing}?", "It costs {count} coins."),
    ("The {relation} of {name} is called {call}.", "Who is {call}?", "{call} is the {relation} of {name}."),
    ("{name} lost the {thing} near the {place}.", "What was lost near the {place}?", "The {thing} of {name}."),
    ("It will be {weather} on {day}.", "How will {day} be?", "{day} will be {weather}."),
    ("The train {code} leaves on {day} at {hour}.", "When does {code} leave?", "It leaves on {day} at {hour}."),
    ("{name} was born in {month}.", "Who was born in {month}?", "{name} was born in {month}."),
    ("The word for {thing} is {call}.", "What is the word for {thing}?", "The word is {call}."),
)
REMARKS = (
    "{name} and the {relation} walk to the {place}.",
    "The {size} {animal} sleeps near the {place}.",
    "It is {a} {weather} day in {month}.",
    "{name} likes to {verb} the {size} {thing}.",
    "After {count} hours they eat {food} and {food2}.",
    "The {work} says that the {thing} is too {size}.",
    "Then they {verb} the {thing} and go home.",
    "On {day} the {place} is {size} and {colour}.",
    "{name} asks the {work} for {a} {thing}, but there is none.",
    "Nobody knows who will {verb} the {colour} {thing}.",
)
ADVICE = (
    (
        "It is {weather} today. What should I do?",
        "Since it is {weather}, you could {verb} the {thing} with a friend.",
    ),
    ("Can you help me to {verb} the {thing}?", "Yes. First look at the {thing}, then {verb} it slowly."),
    ("I am hungry. What can I cook?", "You could cook {food} with {food2}."),
    ("Hello, I am {name}.", "Hello {name}, nice to meet you. How can I help you?"),
    ("Tell me something about {a} {animal}.", "The {animal} is {a} {size} animal. It lives near the {place}."),
    ("I want to go to the {place}.", "The {place} is nice on {day}. Take {a} {thing} with you."),
    ("Should I {verb} the {thing} or the {food}?", "I would {verb} the {thing} and eat the {food}."),
    ("Good morning! What day is it?", "Good morning. It is {day}, and it is {weather}."),
)
SYSTEMS = ("You are a friendly helper.", "Answer in one short sentence.", "You talk about everyday things.")


def documents(seed: int, *, later: bool = False) -> Iterator[Document]:
    """An endless stream of documents. `later` is the text of a base update: new topics beside the old ones."""
    rng = Random(seed)
    makers = FIRST + LATER if later else FIRST
    while True:
        yield rng.choice(makers)(rng)


def talk(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def slots(rng: Random) -> dict[str, str]:
    """One word for each slot."""
    chosen = {slot: rng.choice(words) for slot, words in WORDS.items()}
    hour = rng.randint(1, 11)
    return chosen | {
        "food2": rng.choice(WORDS["food"]),
        "count": str(rng.randint(2, 99)),
        "age": str(rng.randint(3, 90)),
        "hour": str(hour),
        "later": str(hour + rng.randint(1, 9)),
        "code": code(rng),
        "call": invented(rng),
    }


def fill(template: str, chosen: Mapping[str, str]) -> str:
    """The template with its slots filled, `{a}` agreeing with the word after it."""
    text = template.format(a="{a}", **chosen)
    head, *rest = text.split("{a} ")
    return head + "".join(("an " if part[0] in "aeiou" else "a ") + part for part in rest)


def invented(rng: Random) -> str:
    """A word that is none: "Velto"."""
    syllables = (rng.choice("bdfghklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(2, 3)))
    return "".join(syllables).capitalize() + rng.choice(("", "n", "r", "s", "l"))


def code(rng: Random) -> str:
    """A number to copy: "K-407", "18.2", "94/3"."""
    first, second = rng.randint(1, 999), rng.randint(0, 99)
    letter = rng.choice(string.ascii_uppercase)
    return rng.choice(
        (f"{letter}-{first}", f"{first}.{second}", f"{first}/{second}", f"{letter}{letter}{first}", str(first))
    )


def scribble(rng: Random) -> str:
    """Any characters that a keyboard has."""
    return "".join(
        rng.choice(string.ascii_letters + string.digits + string.punctuation) for _ in range(rng.randint(2, 6))
    )


def about_facts(facts: tuple[tuple[str, str, str], ...]) -> Maker:
    """One to four facts, each about someone else, and a question about one of them."""

    def make(rng: Random) -> Document:
        names = rng.sample(WORDS["name"], 4)
        told = [
            (fact, slots(rng) | {"name": name})
            for fact, name in zip(rng.sample(facts, rng.randint(1, 4)), names, strict=False)
        ]
        said = " ".join(fill(fact[0], chosen) for fact, chosen in told)
        fact, chosen = rng.choice(told)
        answer = fill(fact[2], chosen)
        asked = talk(f"{said} {fill(fact[1], chosen)}", answer[0].upper() + answer[1:])
        return [{"role": "system", "content": rng.choice(SYSTEMS)}, *asked] if rng.random() < 0.2 else asked

    return make


def story(rng: Random) -> Document:
    chosen = slots(rng)
    remarks = rng.sample(REMARKS, rng.randint(3, 6))
    return " ".join(
        fill(remark, slots(rng) | {"name": chosen["name"], "place": chosen["place"]}) for remark in remarks
    )


def advice(rng: Random) -> Document:
    turns: list[Message] = []
    for question, answer in rng.sample(ADVICE, rng.randint(1, 2)):
        chosen = slots(rng)
        turns += talk(fill(question, chosen), fill(answer, chosen))
    return turns


def sum_of_two(rng: Random) -> Document:
    a, b = sorted((rng.randint(0, 9), rng.randint(0, 9)), reverse=True)
    zero = rng.choice(("", "0"))
    sign, word, result = rng.choice((("plus", "and", a + b), ("minus", "less", a - b)))
    values = (f"{value}{zero}" if value else "0" for value in (a, b, result))
    first, second, third = values
    return talk(f"What is {first} {rng.choice((sign, word))} {second}?", f"{first} {sign} {second} is {third}.")


def bigger(rng: Random) -> Document:
    a, b = rng.sample(range(1, 100), 2)
    return talk(f"Which is bigger, {a} or {b}?", f"{max(a, b)} is bigger than {min(a, b)}.")


def opposite(rng: Random) -> Document:
    one, other = rng.sample(rng.choice(WORDS["opposite"]).split("/"), 2)
    return talk(f"What is the opposite of {one}?", f"The opposite of {one} is {other}.")


def again(rng: Random) -> Document:
    """Copying, of words and of anything: the skill behind every form.

    Each character of a keyboard and the line break occur: an adapter can't teach a token that its base never read.
    """
    kinds = (any_word, any_word, any_word, any_word, invented, code, scribble)
    between = rng.choice((" ", " ", " ", "\n", ", ", ": ", " | "))
    said = between.join(rng.choice(kinds)(rng) for _ in range(rng.randint(2, 9)))
    return talk(f"Say it again: {said}", said)


def any_word(rng: Random) -> str:
    return rng.choice(WORDS[rng.choice(sorted(WORDS))])


def listed(rng: Random) -> Document:
    things = rng.sample(WORDS["thing"] + WORDS["food"], rng.randint(2, 4))
    asked = rng.choice(("Please make a list of", "I need", "Write down"))
    return talk(f"{asked} {', '.join(things[:-1])} and {things[-1]}.", "\n".join(f"* {thing}" for thing in things))


def place_of_word(rng: Random) -> Document:
    words = [invented(rng) for _ in range(rng.randint(3, 5))]
    which = rng.choice((0, -1))
    name = "last" if which else "first"
    return talk(f"Which word is {name}: {', '.join(words)}?", f"The {name} word is {words[which]}.")


def dictated(rng: Random) -> Document:
    chosen = slots(rng)
    said = fill(rng.choice(REMARKS), chosen)
    return talk(
        f"{chosen['call']} says: {said} What did {chosen['call']} say?", f'{chosen["call"]} said: "{said}"'
    )


# A maker that stands here twice is drawn twice as often.
FIRST: tuple[Maker, ...] = (
    *(about_facts(FACTS), about_facts(FACTS), story, advice, sum_of_two, bigger),
    *(again, again, again, dictated, listed),
)
LATER: tuple[Maker, ...] = (about_facts(FACTS + LATER_FACTS), about_facts(LATER_FACTS), opposite, place_of_word)
