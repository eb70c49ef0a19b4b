"""Random templates for the Jinja interpreter: expressions and statements over a fixed set of
variables, half sensible and half not.  Used by make_jinja_vectors.py, and by hand:

    python jinja_random.py RUNNER [COUNT [SEED]]

where RUNNER reads lines {"template", "vars"} and answers each with {"ok": text} or {"err": ...}.
"""
import copy
import json
import random
import subprocess
import sys

VARS = {
    "s": "Hello, World", "e": "", "u": "Grüße, ΣΑΣ 😀\u3000", "w": "  a b\tc \n", "n": 5, "z": 0, "m": -7,
    "f": 2.5, "g": -0.125, "t": True, "x": False, "o": None, "l": [3, 1, 2], "k": ["b", "A", "a", "c"],
    "q": [], "d": {"a": 1, "b": "two", "c": [1, 2], "items": 3}, "p": [[1, "x"], [2, "y"]],
    "us": [{"name": "Bob", "age": 3, "tags": ["p", "q"]}, {"name": "al", "age": 10}, {"name": "Al", "age": 3, "x": {"y": 1}}],
    "ms": [{"role": "system", "content": "sys"}, {"role": "user", "content": " hi\n"},
           {"role": "assistant", "content": "<think>a</think>b", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.0, "y": None}}}]},
           {"role": "tool", "content": [{"type": "text", "text": "é"}]}],
}
NAMES = list(VARS) + ["missing"]
ATTRS = ["a", "b", "c", "name", "age", "role", "content", "items", "x", "y", "nope", "function", "keys", "upper", "tags"]
STR_METHODS = [
    "upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "lstrip()", "rstrip()", "strip('Hd ')",
    "lstrip('<>\\n ')", "rstrip(%s)", "split()", "split(',')", "split('l', 1)", "rsplit('l', 1)", "rsplit(none, 1)", "split(none, 1)",
    "split(%s)", "splitlines()", "startswith('H')", "startswith(('x', 'He'))", "endswith(%s)", "startswith(%s, 1)", "find('l')",
    "find(%s)", "rfind('l')", "index('l')", "count('l')", "count(%s)", "replace('l', 'L')", "replace('l', '', 1)", "replace('', '-')",
    "replace(%s, %s)", "join(k)", "join(%s)", "partition('l')", "rpartition(',')", "center(20)", "ljust(15, '.')", "rjust(%i)",
    "zfill(8)", "isalpha()", "isdigit()", "isspace()", "isupper()", "islower()", "istitle()", "isalnum()", "isnumeric()",
    "isidentifier()", "isprintable()", "removeprefix('He')", "removesuffix('ld')", "expandtabs(3)", "format(1, a=2)", "find('l', %i, %i)",
]
OTHER_METHODS = ["keys()", "values()", "items()", "get('a')", "get('zz', %s)", "get(%s)", "copy()", "index(%s)", "count(%s)", "update()",
                 "append(1)", "pop()", "is_integer()", "real", "imag"]
FILTERS = [
    "upper", "lower", "title", "capitalize", "trim", "trim('Hd')", "length", "count", "first", "last", "list", "string", "int", "int(9)",
    "float", "abs", "round", "round(1)", "round(2, 'floor')", "round(0, 'ceil')", "join", "join(', ')", "join('-', attribute='name')",
    "default('D')", "default('D', true)", "d(%s)", "replace('l', 'r')", "replace(%s, %s)", "tojson", "tojson(indent=2)",
    "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))", "tojson(sort_keys=true)", "safe", "e", "escape", "forceescape",
    "map('upper')", "map('length')|list", "map(attribute='name')|list", "map(attribute='age', default=0)|list", "map('string')|join",
    "select|list", "select('odd')|list", "select('string')|list", "select('defined')|list", "reject('none')|list", "select('>', 1)|list",
    "selectattr('name')|list", "selectattr('age', 'eq', 3)|list|length", "rejectattr('age', 'gt', 3)|map(attribute='name')|list",
    "selectattr('role', 'in', ['user', 'tool'])|list", "sort", "sort(reverse=true)", "sort(case_sensitive=true)", "sort(attribute='age')",
    "sort(attribute='age,name')|map(attribute='name')|list", "unique|list", "unique(true)|list", "reverse|list", "items|list", "dictsort",
    "dictsort(by='value')", "dictsort(reverse=true)", "indent", "indent(2, true)", "indent('> ', blank=true)", "min", "max",
    "min(attribute='age')", "sum", "sum(attribute='age')", "sum(start=1.5)", "batch(2)|list", "batch(2, 'x')|list", "slice(2)|list",
    "wordcount", "groupby('age')|list", "groupby('age')|map('last')|list", "truncate(6)", "truncate(6, true, '')", "center(12)",
    "urlencode", "attr('upper')", "format(1, 2)", "nofilter", "map('nofilter')|list",
]
TESTS = [
    "defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "callable",
    "odd", "even", "true", "false", "upper", "lower", "divisibleby 2", "divisibleby(%i)", "sameas none", "sameas(%s)", "eq 5", "ne %s",
    "lt 3", "ge(%s)", "in l", "in(%s)", "equalto 'x'", "escaped", "filter", "test", "notest",
]
OPS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
CONSTS = ["0", "1", "-1", "2", "3", "7", "10", "0.5", "1e3", "1.0", "true", "false", "none", "''", "'a'", "'l'", '"b"', "'%s %d'", "'é\\n'",
          "'name'", "[]", "{}", "()", "[1, 2]", "(1, 2)", "{'a': 1}", "range(3)", "range(5, 0, -2)", "'{} {a}'"]

KINDS = {"str": ["s", "e", "u", "w", "ms[1].content", "ms[2]['content']", "us[0].name"], "num": ["n", "z", "m", "f", "g", "us[1].age"],
         "list": ["l", "k", "q", "p", "us", "ms", "d.items()|list", "d.keys()", "us[0].tags"], "bool": ["t", "x", "n", "s", "missing"]}
STR_TO_STR = [m for m in STR_METHODS if m.split("(")[0] in (
    "upper", "lower", "title", "capitalize", "swapcase", "casefold", "strip", "lstrip", "rstrip", "replace", "center", "ljust", "rjust", "zfill",
    "removeprefix", "removesuffix", "expandtabs") and "%s" not in m]
FILTER_STR = ["upper", "lower", "title", "capitalize", "trim", "trim('Hd')", "string", "default('D')", "replace('l', 'r')", "tojson", "e", "safe",
              "indent", "indent(2, true)", "truncate(6)", "center(12)", "urlencode", "reverse", "first", "last", "join('-')", "tojson(ensure_ascii=true)"]
FILTER_LIST = ["sort", "list", "reverse|list", "unique|list", "map('string')|list", "select|list", "select('defined')|list", "batch(2)|list",
               "slice(2)|list", "sort(reverse=true)", "map('upper')|list", "reject('none')|list", "map('tojson')|list"]


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.loops = 0
        self.depth = 0

    def fill(self, text):
        while "%s" in text and "'%s" not in text:
            text = text.replace("%s", self.expr(2), 1)
        while "%i" in text:
            text = text.replace("%i", str(self.rng.randint(-3, 12)), 1)
        return text

    def name(self, kind):
        if kind == "loop":
            return self.rng.choice(["i", "loop.index", "loop.last", "loop.previtem"] if self.loops else ["v1"])
        return self.rng.choice(KINDS.get(kind, NAMES + ["v1", "v2", "ns.a", "i"]))

    def const(self, kind):
        if kind == "str":
            return self.rng.choice(["''", "'a'", "'l'", '"b"', "'%s %d'", "'é\\n'", "'name'", "'{} {a}'", "'x' ~ 1"])
        if kind == "num":
            return self.rng.choice(["0", "1", "-1", "2", "3", "7", "10", "0.5", "1e3", "1.0", "true"])
        if kind == "list":
            return self.rng.choice(["[]", "[1, 2]", "(1, 2)", "range(3)", "range(5, 0, -2)", "['a', 'B']"])
        return self.rng.choice(CONSTS)

    def sensible(self, size, kind):
        """An expression of the kind, mostly."""
        r = self.rng.random()
        if size <= 0 or r < 0.15:
            return self.const(kind) if self.rng.random() < 0.4 else self.name(self.rng.choice([kind, kind, "loop", ""]))
        if kind == "str":
            if r < 0.4:
                return f"{self.wrap(size, 'str')}.{self.fill(self.rng.choice(STR_TO_STR))}"
            if r < 0.65:
                return f"{self.wrap(size, 'str')}|{self.fill(self.rng.choice(FILTER_STR))}"
            if r < 0.8:
                return f"({self.sensible(size - 1, 'str')} {self.rng.choice(['+', '~', 'or', 'and'])} {self.sensible(size - 1, 'str')})"
            if r < 0.9:
                return f"{self.wrap(size, 'str')}[{self.rng.choice(['0', '-1', '1:', ':-1', '::-1', '::2', '-3:', '1:3'])}]"
            return f"{self.wrap(size, 'list')}|join({self.const('str')})"
        if kind == "num":
            if r < 0.5:
                return f"({self.sensible(size - 1, 'num')} {self.rng.choice(['+', '-', '*', '/', '//', '%', 'or', 'and'])} {self.sensible(size - 1, 'num')})"
            if r < 0.75:
                return f"{self.wrap(size, 'num')}|{self.rng.choice(['abs', 'round', 'round(1)', 'int', 'float', 'string|int', 'default(1)'])}"
            return f"{self.wrap(size, self.rng.choice(['str', 'list']))}|length"
        if kind == "list":
            if r < 0.6:
                return f"{self.wrap(size, 'list')}|{self.fill(self.rng.choice(FILTER_LIST))}"
            if r < 0.75:
                return f"{self.wrap(size, 'list')}[{self.rng.choice(['1:', ':-1', '::-1', '::2', '-2:', '1:3'])}]"
            if r < 0.9:
                return f"{self.wrap(size, 'str')}.{self.rng.choice(['split()', 'splitlines()', 'split(none, 1)', 'rsplit()', 'split(n)'])}"
            return f"[{self.sensible(size - 1, 'str')}, {self.sensible(size - 1, 'num')}]"
        if r < 0.4:
            return f"({self.expr(size - 1)} is {self.rng.choice(['', 'not '])}{self.fill(self.rng.choice(TESTS))})"
        if r < 0.7:
            k = self.rng.choice(["num", "str", "list"])
            return f"({self.sensible(size - 1, k)} {self.rng.choice(['==', '!=', '<', '<=', '>', '>='])} {self.sensible(size - 1, k)})"
        if r < 0.85:
            return f"({self.const('str')} {self.rng.choice(['in', 'not in'])} {self.sensible(size - 1, self.rng.choice(['str', 'list']))})"
        return f"(not {self.sensible(size - 1, 'bool')})"

    def wrap(self, size, kind):
        text = self.sensible(size - 1, kind)
        return text if text.isalnum() or (text[0] == "(" and text[-1] == ")" and text.count("(") == 1) else f"({text})"

    def expr(self, size):
        if self.rng.random() < 0.85:
            return self.sensible(size, self.rng.choice(["str", "str", "num", "list", "bool"]))
        return self.wild(size)

    def wild(self, size):
        r = self.rng.random()
        if size <= 0 or r < 0.12:
            return self.const("") if self.rng.random() < 0.4 else self.name("")
        if r < 0.30:
            return f"{self.expr(size - 1)}|{self.fill(self.rng.choice(FILTERS))}"
        if r < 0.45:
            method = self.rng.choice(STR_METHODS if self.rng.random() < 0.75 else OTHER_METHODS)
            base = self.rng.choice(["s", "u", "w", "e", "d", "l", "f"]) if self.rng.random() < 0.6 else self.atom(size - 1)
            return f"{base}.{self.fill(method)}"
        if r < 0.65:
            a, b = self.expr(size - 1), self.expr(size - 1)
            text = f"{a} {self.rng.choice(OPS)} {b}"
            return f"({text})" if self.rng.random() < 0.6 else text
        if r < 0.72:
            return f"{self.atom(size - 1)}.{self.rng.choice(ATTRS)}"
        if r < 0.80:
            # jinja2 folds slices of constants that cannot be sliced to undefined values
            keys = ["0", "-1", "1", "'a'", "'name'", self.expr(size - 2)]
            slices = ["::-1", "1:", ":-1", "::2", ":2", "-2:", "5:1:-2"]
            if self.rng.random() < 0.5:
                return f"{self.atom(size - 1)}[{self.rng.choice(keys)}]"
            return f"{self.rng.choice(NAMES)}[{self.rng.choice(slices)}]"
        if r < 0.86:
            negation = self.rng.choice(["", "not "])
            return f"({self.expr(size - 1)} is {negation}{self.fill(self.rng.choice(TESTS))})"
        if r < 0.90:
            otherwise = f" else {self.expr(size - 1)}" if self.rng.random() < 0.8 else ""
            return f"({self.expr(size - 1)} if {self.expr(size - 1)}{otherwise})"
        if r < 0.94:
            return f"{self.rng.choice(['not ', '-', '+'])}{self.atom(size - 1)}"
        items = ", ".join(self.expr(size - 1) for _ in range(self.rng.randint(0, 3)))
        return self.rng.choice([f"[{items}]", f"({items}{',' if items else ''})", f"{{'k': {self.expr(size - 1)}}}", f"dict(a={self.expr(size - 1)})",
                                f"range({self.rng.randint(-2, 6)})", f"m({items})"])

    def atom(self, size):
        text = self.expr(size)
        return text if text.isalnum() else f"({text})"

    def tag(self, text):
        return "{%" + self.rng.choice(["", "", "-", "+"]) + f" {text} " + self.rng.choice(["", "", "-"]) + "%}"

    def text(self):
        return self.rng.choice(["", " ", "\n", "x", "  \n  ", "é\n", "a b", "\n\n", "\t", "{ }", "%}", "#"])

    def body(self, size):
        return "".join(self.text() + self.statement(size) for _ in range(self.rng.randint(1, 3))) + self.text()

    def statement(self, size):
        r = self.rng.random()
        if size <= 0 or r < 0.38:
            sign = self.rng.choice(["", "", "-"])
            return "{{" + sign + " " + self.expr(3) + " " + self.rng.choice(["", "", "-"]) + "}}"
        if r < 0.50:
            target = self.rng.choice(["v1", "v2", "n", "s", "ns.a", "v1, v2", "ns"])
            value = self.expr(2) if target != "ns" else "namespace(a=%s)" % self.expr(1)
            if target == "v1, v2":
                value = f"{self.expr(1)}, {self.expr(1)}"
            return self.tag(f"set {target} = {value}")
        if r < 0.56:
            flt = self.rng.choice(["", " | upper", " | trim | length", " | replace('a', 'b')"])
            return self.tag(f"set {self.rng.choice(['v1', 's'])}{flt}") + self.body(size - 1) + self.tag("endset")
        if r < 0.70:
            other = self.tag(f"elif {self.expr(2)}") + self.body(size - 1) if self.rng.random() < 0.3 else ""
            if self.rng.random() < 0.5:
                other += self.tag("else") + self.body(size - 1)
            return self.tag(f"if {self.expr(2)}") + self.body(size - 1) + other + self.tag("endif")
        if r < 0.86:
            target = self.rng.choice(["i", "i", "v1", "i, v1"])
            over = self.rng.choice(["l", "k", "us", "ms", "range(3)", "p", "d.items()", "d", "s[:3]", "ms[::-1]", "us|map(attribute='name')", self.expr(2)])
            cond = f" if {self.expr(1)}" if self.rng.random() < 0.25 else ""
            self.loops += 1
            inner = self.body(size - 1)
            if self.rng.random() < 0.3:
                inner += "{% if " + self.expr(1) + " %}{% " + self.rng.choice(["break", "continue"]) + " %}{% endif %}" + self.text()
            if self.rng.random() < 0.5:
                inner += self.rng.choice(["{{ loop.index }}", "{{ loop.last }},", "{{ loop.length }}", "{{ loop.revindex0 }}", "{{ loop.nextitem }}",
                                          "{{ loop.cycle('o', 'e') }}", "{{ loop.changed(i) }}"])
            self.loops -= 1
            other = self.tag("else") + self.body(size - 1) if self.rng.random() < 0.2 else ""
            return self.tag(f"for {target} in {over}{cond}") + inner + other + self.tag("endfor")
        if r < 0.91:
            sig = self.rng.choice(["", "i", "i, v1=1", "v1=n, v2=v1"])
            loops, self.loops = self.loops, 0
            inner = self.body(size - 1)
            self.loops = loops
            return self.tag(f"macro m({sig})") + inner + self.tag("endmacro") + self.rng.choice(["", "{{ m(1) }}", "{{ m() }}", "{{ m(v1=2) }}"])
        if r < 0.94:
            return self.tag(f"filter {self.rng.choice(['upper', 'trim', 'length', 'indent(2)'])}") + self.body(size - 1) + self.tag("endfilter")
        if r < 0.96:
            return self.tag(f"with v1 = {self.expr(1)}, i = s") + self.body(size - 1) + self.tag("endwith")
        if r < 0.98:
            return self.tag("raw") + self.text() + "{{ s }}" + self.text() + self.tag("endraw").replace("+%", "%")
        return "{#" + self.rng.choice(["", "-", "+"]) + " c " + self.rng.choice(["", "-", "+"]) + "#}"

    def template(self):
        r = self.rng.random()
        if r < 0.5:
            return "{{ " + self.expr(4) + " }}"
        ns = "{% set ns = namespace(a=1) %}" if self.rng.random() < 0.7 else ""
        return ns + self.body(self.rng.randint(1, 3))


def make(count, seed):
    rng = random.Random(seed)
    return [Maker(rng).template() for _ in range(count)]


def main():
    from make_jinja_vectors import render

    runner, count, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000, int(sys.argv[3]) if len(sys.argv) > 3 else 1
    templates = make(count, seed)
    rows = "".join(json.dumps({"template": t, "vars": VARS}, ensure_ascii=False) + "\n" for t in templates)
    answers = subprocess.run([runner], input=rows.encode(), stdout=subprocess.PIPE).stdout.decode().split("\n")[:-1]
    if len(answers) != count:
        sys.exit(f"the runner stopped at {templates[len(answers)]!r}")
    differ = rendered = 0
    for template, answer in zip(templates, map(json.loads, answers)):
        text, error = render(template, copy.deepcopy(VARS))  # jinja2's indent changes lists
        rendered += error is None
        if (error is None and answer.get("ok") == text) or (error is not None and "err" in answer):
            continue
        if text is not None and " at 0x" in text:
            continue
        differ += 1
        if differ <= 20:
            print(f"{template!r}\n  wanted {text!r} {error!r}\n  got    {answer!r}")
    print(f"{count} templates, {rendered} of them without an error; {differ} differ")


if __name__ == "__main__":
    main()
