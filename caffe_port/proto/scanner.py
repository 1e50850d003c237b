"""A light pass over the text of a message that knows the schema: finds what is unknown or cannot be, with its
position.

protobuf's own text parser stops at the first name it does not know. This pass finds all of them, decides by
`names.verdict` which the message can do without, and blanks those out with spaces, so that protobuf then parses a
text whose lines and columns are the file's. It also says in the prototxt's words what protobuf would say in its own:
a wrong kind of value, a field given twice, a brace that nothing closes.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from google.protobuf import text_encoding

from caffe_port.errors import PrototxtError
from caffe_port.proto import names

TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\n\f\v]+|\#[^\n]*)+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>\.?[0-9](?:[eE][+-]|[0-9A-Za-z_.])*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<mark>[{}<>\[\]:;,-])""",
    re.VERBOSE,
)
INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
FLOAT = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?|0[xX][0-9a-fA-F]+")
SPECIAL = ("inf", "infinity", "nan", "inff", "nanf")
BOOLS = ("true", "false", "True", "False", "t", "f", "0", "1")
ESCAPES = "abfnrtv?\\'\"xXuU01234567"
CLOSES = {"{": "}", "<": ">"}
MAX_DEPTH = 64  # Caffe's deepest message is six levels down; this only guards against hostile files
STRING, INT32, INT64, UINT32, UINT64, DOUBLE, FLOATS, BOOL, ENUM, MESSAGE = 9, 1, 2, 3, 4, 5, 6, 7, 8, 10
RANGES = {INT32: (-(2**31), 2**31), INT64: (-(2**63), 2**63), UINT32: (0, 2**32), UINT64: (0, 2**64)}


class Token(NamedTuple):
    kind: str
    text: str
    at: int


@dataclass
class Layer:
    """The layer that the scan stands in, for messages: its name may come after the field that is wrong."""

    line: int
    name: str | None = None

    def __str__(self) -> str:
        return f"layer '{self.name}'" if self.name is not None else f"the layer at line {self.line}"


@dataclass
class Unknown:
    """A field, or the value of an enum, that the schema does not know."""

    line: int
    column: int
    name: str
    where: str  # "layer 'conv1'", "net", "solver"
    text: str  # as written in the file
    fatal: bool
    hint: str
    problem: str = ""  # "unknown field 'kernal_size' in ConvolutionParameter"

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.where}: {self.problem}; {self.hint}"


@dataclass
class Scan:
    """What the pass found; `text` is the input with the unknown fields blanked out."""

    text: str = ""
    unknown: list[Unknown] = field(default_factory=list)
    layer_lines: list[int] = field(default_factory=list)


class Scanner:
    def __init__(self, text: str, source: str) -> None:
        self.text, self.source = text, source
        self.starts = [0] + [m.end() for m in re.finditer("\n", text)]
        self.tokens = self.tokenize()
        self.i = 0
        self.scan = Scan()
        self.edits: list[tuple[int, int, str]] = []  # start, end, what to put at the end of that stretch
        self.owners: list[Layer | str] = []  # of scan.unknown, one each

    def run(self, descriptor: Any) -> Scan:
        root = {"SolverParameter": "solver", "NetParameter": "net"}.get(descriptor.name, descriptor.name)
        self.fields(descriptor, None, root, 0)
        for unknown, owner in zip(self.scan.unknown, self.owners, strict=True):
            unknown.where = str(owner)
        self.scan.text = self.blanked()
        return self.scan

    # positions and errors

    def position(self, at: int) -> tuple[int, int]:
        line = bisect.bisect_right(self.starts, at)
        return line, at - self.starts[line - 1] + 1

    def fail(self, at: int, message: str) -> NoReturn:
        line, column = self.position(at)
        raise PrototxtError(f"{self.source}:{line}:{column}: {message}")

    # tokens

    def tokenize(self) -> list[Token]:
        tokens, at = [], 0
        while at < len(self.text):
            match = TOKEN.match(self.text, at)
            if match is None:
                self.fail(at, self.stray(at))
            if match.lastgroup != "space":
                tokens.append(Token(match.lastgroup or "", match.group(), at))
            at = match.end()
        tokens.append(Token("end", "the end of the file", len(self.text)))
        return tokens

    def stray(self, at: int) -> str:
        char = self.text[at]
        if char in "\"'":
            return f"a string that is not closed with {char} on its line"
        hint = {"/": "; a comment starts with #", "=": "; a value follows a ':'", "(": "", "\\": ""}.get(char, "")
        return f"unexpected character {char!r}{hint}"

    @property
    def token(self) -> Token:
        return self.tokens[self.i]

    def take(self, text: str) -> bool:
        if self.token.kind == "mark" and self.token.text == text:
            self.i += 1
            return True
        return False

    # structure

    def fields(self, descriptor: Any, opener: Token | None, owner: Layer | str, depth: int) -> None:
        """Everything up to the mark that closes `opener` (or the end of the text). `descriptor` None: anything goes."""
        if depth > MAX_DEPTH:
            self.fail(self.token.at, f"messages nested more than {MAX_DEPTH} deep")
        seen: dict[str, Token] = {}
        while True:
            token = self.token
            if token.kind == "end":
                if opener:
                    line, column = self.position(opener.at)
                    self.fail(token.at, f"the file ends, but '{opener.text}' of {line}:{column} is not closed")
                return
            if opener and self.take(CLOSES[opener.text]):
                return
            if token.kind != "name":
                extra = " that closes nothing" if token.text in "}>" and not opener else ""
                self.fail(token.at, f"expected a field's name, found {shown(token)}{extra}")
            self.i += 1
            if descriptor is None:
                self.value(token, None, None, owner, depth)
            else:
                self.known_or_not(descriptor, token, seen, owner, depth)

    def known_or_not(
        self, descriptor: Any, token: Token, seen: dict[str, Token], owner: Layer | str, depth: int
    ) -> None:
        known = descriptor.fields_by_name.get(token.text)
        if known is None:
            if token.text in ("layer", "layers") and descriptor.name in names.LAYER_MESSAGES:
                self.fail(token.at, f"'{token.text}' inside {owner}: is the '}}' missing that closes the layer before?")
            fatal, hint = names.verdict(descriptor, token.text)
            self.value(token, None, None, owner, depth)
            self.report(token, owner, fatal, hint, f"unknown field '{token.text}' in {descriptor.name}")
            return
        if not is_repeated(known):
            if token.text in seen:
                line = self.position(seen[token.text].at)[0]
                self.fail(
                    token.at, f"non-repeated field '{token.text}' is specified multiple times (first in line {line})"
                )
            seen[token.text] = token
        if known.message_type is not None and known.message_type.name in names.LAYER_MESSAGES:
            line = self.position(token.at)[0]
            if descriptor.name == "NetParameter" and depth == 0:
                self.scan.layer_lines.append(line)
            if not isinstance(owner, Layer):
                owner = Layer(line)
        value = self.value(token, known, descriptor, owner, depth)
        if token.text == "name" and isinstance(owner, Layer) and descriptor.name in names.LAYER_MESSAGES and value:
            owner.name = value.text[1:-1]
        if known.enum_type is not None:
            self.check_enum(token, known, descriptor, value, owner)

    def value(self, token: Token, known: Any, descriptor: Any, owner: Layer | str, depth: int) -> Token | None:
        """What follows a field's name; gives the first token of a plain value. A separator after it belongs to it."""
        colon = self.take(":")
        first: Token | None = None
        if (
            self.token.kind == "mark"
            and self.token.text in "{<"
            or (self.token.text == "[" and self.token.kind == "mark")
        ):
            if self.token.text == "[":
                if known is not None and not is_repeated(known):
                    self.fail(self.token.at, f"'{token.text}' takes one value, not a list")
                self.list_of(token, known, owner, depth)
            else:
                self.message_of(token, known, owner, depth)
        elif known is not None and known.message_type is not None:
            self.fail(self.token.at, f"'{token.text}' takes a message in {{ }}, found {shown(self.token)}")
        elif not colon:
            self.fail(self.token.at, f"expected ':' after '{token.text}', found {shown(self.token)}")
        else:
            first = self.plain(token, known)
        if not self.take(";"):
            self.take(",")
        return first

    def message_of(self, token: Token, known: Any, owner: Layer | str, depth: int) -> None:
        opener = self.token
        if known is not None and known.message_type is None:
            self.fail(opener.at, f"'{token.text}' takes {kind_of(known)}, found '{opener.text}'")
        self.i += 1
        self.fields(known.message_type if known is not None else None, opener, owner, depth + 1)

    def list_of(self, token: Token, known: Any, owner: Layer | str, depth: int) -> None:
        opener = self.token
        self.i += 1
        if self.take("]"):
            return
        while True:
            if self.token.kind == "mark" and self.token.text in "{<":
                self.message_of(token, known, owner, depth)
            elif known is not None and known.message_type is not None:
                self.fail(self.token.at, f"'{token.text}' takes messages in {{ }}, found {shown(self.token)}")
            else:
                self.plain(token, known)
            if self.take("]"):
                return
            if not self.take(","):
                line, column = self.position(opener.at)
                self.fail(
                    self.token.at, f"expected ',' or ']' in the list of {line}:{column}, found {shown(self.token)}"
                )

    def plain(self, token: Token, known: Any) -> Token:
        """A number, a name or strings side by side; checked against the field's kind where the field is known."""
        sign, minus = self.token, self.take("-")
        value = self.token
        if minus and value.at > sign.at + 1:  # `- 3`: protobuf's C++ parser takes it, the Python one does not
            self.edits.append((sign.at, value.at, "-"))
        if value.kind not in ("name", "number", "string") or (minus and value.kind == "string"):
            self.fail(value.at, f"expected a value for '{token.text}', found {shown(value)}")
        self.i += 1
        strings = [value]
        while value.kind == "string" and self.token.kind == "string":
            strings.append(self.token)
            self.i += 1
        if value.kind == "string":
            self.check_escapes(strings, known)
        if known is not None:
            problem = misfit(known, value, minus)
            if problem is not None:
                self.fail(
                    value.at,
                    f"'{token.text}' takes {kind_of(known)}, found {'-' if minus else ''}{value.text}{problem}",
                )
        return value

    def check_escapes(self, strings: list[Token], known: Any) -> None:
        """The Python parser lets `\\d` (a path of Windows) pass, and points nowhere when bytes are no text."""
        if not any("\\" in string.text for string in strings):
            return
        for string in strings:
            bad = next((match for match in re.finditer(r"\\(.)", string.text) if match[1] not in ESCAPES), None)
            if bad:
                hint = "; in a path write / or \\\\"
                self.fail(string.at + bad.start(), f"invalid escape '{bad.group()}' in a string{hint}")
        if known is not None and known.type == known.TYPE_STRING:
            try:
                b"".join(text_encoding.CUnescape(string.text[1:-1]) for string in strings).decode("utf-8")
            except ValueError:
                said = f"'{known.name}' takes text, and the escapes of {strings[0].text} are not UTF-8"
                self.fail(strings[0].at, said)

    # what is unknown

    def check_enum(self, token: Token, known: Any, descriptor: Any, value: Token | None, owner: Layer | str) -> None:
        if value is None:
            return
        enum = known.enum_type
        if value.kind == "number":
            ok = int(value.text, 0 if value.text[:2].lower() == "0x" else 10) in enum.values_by_number
        else:
            ok = value.text in enum.values_by_name
        if not ok:
            hint = names.nearest(value.text, list(enum.values_by_name))
            problem = f"unknown value '{value.text}' for '{token.text}' in {descriptor.name}"
            harmless = names.is_harmless(descriptor.name, token.text)  # engine: MKL2017
            hint = names.LEFT_OUT if harmless else hint
            self.report(token, owner, not harmless, hint, problem, position=value.at)

    def report(
        self, token: Token, owner: Layer | str, fatal: bool, hint: str, problem: str, position: int | None = None
    ) -> None:
        end = self.tokens[self.i - 1].at + len(self.tokens[self.i - 1].text)
        line, column = self.position(token.at if position is None else position)
        text = self.text[token.at : end]
        self.scan.unknown.append(Unknown(line, column, token.text, "", text, fatal, hint, problem))
        self.owners.append(owner)
        self.edits.append((token.at, end, ""))

    def blanked(self) -> str:
        """The text with every edited stretch as spaces; its lines and columns stay."""
        parts, done = [], 0
        for start, end, put in sorted(self.edits, key=lambda edit: (edit[0], -edit[1])):
            if start >= done:
                spaces = re.sub(r"[^\n]", " ", self.text[start:end])
                parts += [self.text[done:start], spaces[: len(spaces) - len(put)], put]
                done = end
        return "".join(parts) + self.text[done:]


def is_repeated(known: Any) -> bool:
    """Descriptors of old protobuf runtimes have `label`, those of new ones `is_repeated`."""
    repeated = getattr(known, "is_repeated", None)
    return known.label == 3 if repeated is None else repeated


def misfit(known: Any, value: Token, minus: bool) -> str | None:
    """None where the value is of the field's kind, else what to add to the message."""
    kind, text = known.cpp_type, value.text
    if kind == STRING:
        return None if value.kind == "string" else "; put it in quotes" if value.kind == "name" else ""
    if value.kind == "string":
        return "; without quotes" if kind == ENUM or text[1:-1] in BOOLS or FLOAT.fullmatch(text[1:-1]) else ""
    if kind == BOOL:
        return None if text in BOOLS and not minus else ""
    if kind == ENUM:
        return None if (value.kind == "name" and not minus) or INTEGER.fullmatch(text) else ""
    if kind in (DOUBLE, FLOATS):
        return None if (FLOAT.fullmatch(text) if value.kind == "number" else text.lower() in SPECIAL) else ""
    if not INTEGER.fullmatch(text):
        return ""
    low, high = RANGES[kind]
    octal = len(text) > 1 and text.isdigit() and text[0] == "0"
    if octal and not set(text) <= set("01234567"):
        return "; a number that starts with 0 is octal"
    number = int(text, 8 if octal else 0) * (-1 if minus else 1)
    return None if low <= number < high else f", which is out of its range {low} to {high - 1}"


def kind_of(known: Any) -> str:
    if known.message_type is not None:
        return "a message in { }"
    if known.enum_type is not None:
        return f"one of {', '.join(known.enum_type.values_by_name)}"
    kinds = {STRING: "text in quotes", BOOL: "true or false", DOUBLE: "a number", FLOATS: "a number"}
    unsigned = known.cpp_type in (UINT32, UINT64)
    return kinds.get(known.cpp_type, "a whole number" + (" that is not negative" if unsigned else ""))


def shown(token: Token) -> str:
    return token.text if token.kind in ("end", "string") else f"'{token.text}'"
