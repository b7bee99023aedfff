"""Simple Python functions with docstrings, as templates over names, operators and constants."""

from collections.abc import Callable

from training import words
from training.grammar import Voice
from training.words import listed

OPERATIONS = {
    "add": ("+", "sum", "plus"),
    "subtract": ("-", "difference", "minus"),
    "multiply": ("*", "product", "times"),
    "divide": ("/", "quotient", "divided by"),
}
PAIRS = (("a", "b"), ("x", "y"), ("first", "second"), ("left", "right"), ("m", "n"))
NOUNS = listed("name value number item word colour price score size count")


def function(voice: Voice) -> str:
    """One to three functions."""
    return "\n\n\n".join(voice.choice(MAKERS)(voice) for _ in range(voice.choice((1, 1, 1, 2, 3))))


def operation(voice: Voice, name: str | None = None) -> str:
    verb = name or voice.choice(sorted(OPERATIONS))
    sign, noun, _ = OPERATIONS[verb]
    a, b = voice.choice(PAIRS)
    doc = voice.choice((f"Return the {noun} of {a} and {b}.", f"The {noun} of two numbers."))
    called = verb if voice.chance(0.8) else f"{verb}_numbers"
    return f'def {called}({a}, {b}):\n    """{doc}"""\n    return {a} {sign} {b}'


def with_constant(voice: Voice) -> str:
    verb = voice.choice(sorted(OPERATIONS))
    sign, _, spoken = OPERATIONS[verb]
    number, noun = voice.number(1, 20), voice.choice(NOUNS)
    return (
        f'def {verb}_{number}({noun}):\n    """Return {noun} {spoken} {number}."""\n    return {noun} {sign} {number}'
    )


def predicate(voice: Voice) -> str:
    number = voice.number(2, 50)
    name, test, doc = voice.choice(
        (
            ("is_even", "n % 2 == 0", "Whether n is even."),
            ("is_odd", "n % 2 == 1", "Whether n is odd."),
            ("is_positive", "n > 0", "Whether n is above zero."),
            ("is_negative", "n < 0", "Whether n is below zero."),
            (f"is_above_{number}", f"n > {number}", f"Whether n is above {number}."),
            (f"is_below_{number}", f"n < {number}", f"Whether n is below {number}."),
            (f"is_multiple_of_{number}", f"n % {number} == 0", f"Whether n is a multiple of {number}."),
        )
    )
    return f'def {name}(n):\n    """{doc}"""\n    return {test}'


def loop(voice: Voice) -> str:
    plural = voice.choice(NOUNS) + "s"
    one = plural[:-1]
    name, start, step, doc = voice.choice(
        (
            ("total", "0", f"result += {one}", f"Add up all {plural}."),
            ("product", "1", f"result *= {one}", f"Multiply all {plural}."),
            ("longest", '""', f"result = max(result, {one}, key=len)", f"Return the longest of the {plural}."),
            ("count", "0", "result += 1", f"Count the {plural}."),
            ("joined", '""', f"result += str({one})", f"Join the {plural} to one string."),
        )
    )
    head = f'def {name}_{plural}({plural}):\n    """{doc}"""\n    result = {start}\n'
    return f"{head}    for {one} in {plural}:\n        {step}\n    return result"


def branch(voice: Voice) -> str:
    a, b = voice.choice(PAIRS)
    name, test, doc = voice.choice(
        (
            ("largest", ">", f"Return the larger of {a} and {b}."),
            ("smallest", "<", f"Return the smaller of {a} and {b}."),
        )
    )
    return f'def {name}({a}, {b}):\n    """{doc}"""\n    if {a} {test} {b}:\n        return {a}\n    return {b}'


def greeting(voice: Voice) -> str:
    word = voice.choice(("Hello", "Hi", "Goodbye", "Welcome", "Good morning"))
    name = word.lower().replace(" ", "_")
    return f'def {name}(name):\n    """Say {word.lower()} to somebody."""\n    return f"{word}, {{name}}!"'


def constant(voice: Voice) -> str:
    colour, thing = voice.choice(words.COLOURS), voice.choice(words.THINGS).replace(" ", "_")
    return f'def {thing}_colour():\n    """The colour of the {thing.replace("_", " ")}."""\n    return "{colour}"'


def comprehension(voice: Voice) -> str:
    plural = voice.choice(NOUNS) + "s"
    one, number = plural[:-1], voice.number(1, 20)
    name, expression, doc = voice.choice(
        (
            ("doubled", f"{one} * 2", f"Return all {plural} doubled."),
            ("squared", f"{one} * {one}", f"Return the squares of all {plural}."),
            ("raised", f"{one} + {number}", f"Return all {plural} plus {number}."),
            ("lengths", f"len({one})", f"Return the length of all {plural}."),
        )
    )
    return f'def {name}({plural}):\n    """{doc}"""\n    return [{expression} for {one} in {plural}]'


def record_class(voice: Voice) -> str:
    fields = voice.sample(NOUNS, voice.number(1, 3))
    name = voice.choice(words.THINGS).title().replace(" ", "")
    body = "\n".join(f"        self.{field} = {field}" for field in fields)
    return f'class {name}:\n    """A {name.lower()}."""\n\n    def __init__(self, {", ".join(fields)}):\n{body}'


MAKERS: tuple[Callable[[Voice], str], ...] = (
    operation, with_constant, predicate, loop, branch, greeting, constant, comprehension, record_class,
)  # fmt: skip
