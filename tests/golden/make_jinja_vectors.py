"""Makes tests/fixtures/jinja/*.jsonl: what jinja2, set up as transformers does, renders.

    pip install jinja2 transformers          (no torch)
    python tests/golden/make_jinja_vectors.py

cases.jsonl, random.jsonl: {"define": name, "value": variables}, then {"t": template, "v": name of the variables} with "text",
or "error": the message of raise_exception(), else "", or "unsupported": true.
chat.jsonl: {"messages" or "kwargs": name, "value"}, then {"template": a file of templates/, "m": name of the messages, "k": of
the keyword arguments, or "request": all of it, "tokens": whether <s> and </s> are there} with "text" or "error", by
apply_chat_template().
"""
import copy
import datetime
import json
import logging
import pathlib
import re
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import jinja2  # noqa: E402
from transformers import tokenization_utils_base  # noqa: E402
from transformers.utils import chat_template_utils  # noqa: E402

NOW = datetime.datetime(2024, 7, 26, 13, 5, 9)
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "jinja"
RANDOM_COUNT, RANDOM_SEED = 1200, 20240726

compile_template = chat_template_utils._compile_jinja_template


def compile_with_date(template):
    compiled = compile_template(template)
    compiled.globals["strftime_now"] = NOW.strftime
    return compiled


chat_template_utils._compile_jinja_template = compile_with_date


def attempt(run):
    """(text, None) or (None, message)."""
    try:
        return run(), None
    except jinja2.exceptions.TemplateError as e:
        # what raise_exception() raises is of this very class
        return None, str(e.message) if type(e) is jinja2.exceptions.TemplateError else ""
    except Exception:  # noqa: BLE001  whatever Python raises is an error of the template
        return None, ""


def render(template, variables):
    return attempt(lambda: compile_with_date(template).render(**copy.deepcopy(variables)))


class Tokenizer:
    """As much of a tokenizer as apply_chat_template() looks at."""

    def __init__(self, template, tokens):
        self.template, self.special_tokens_map = template, tokens

    def get_chat_template(self, chat_template=None, tools=None):
        return self.template


def apply(template, request, tokens):
    kwargs = {k: v for k, v in request.items() if k not in ("messages", "chat_template_kwargs")}
    kwargs.update(request.get("chat_template_kwargs") or {})
    method = tokenization_utils_base.PreTrainedTokenizerBase.apply_chat_template
    return attempt(lambda: method(Tokenizer(template, tokens), copy.deepcopy(request["messages"]), tokenize=False, **kwargs))


def row(template, name, variables):
    text, error = render(template, variables)
    if text is not None and re.search(r" at 0[xX][0-9a-fA-F]{6}", text):
        return None  # the address of an object
    return {"t": template, "v": name, **({"text": text} if error is None else {"error": error})}


def write(name, rows):
    rows = [json.dumps(r, ensure_ascii=False) for r in rows if r is not None]
    (FIXTURES / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{name}: {len(rows)} rows")


def hand_written():
    import jinja_cases as c

    rows = [{"define": "vars", "value": c.VARS}, {"define": "more", "value": c.TEMPLATE_VARS}]
    expressions = [x for line in c.EXPRESSIONS.strip("\n").split("\n") for x in line.split("; ")]
    rows += [row("[{{ %s }}]" % x, "vars", c.VARS) for x in expressions]
    templates = c.TEMPLATES.strip("\n").split("\n") + c.LAYOUTS + [x.strip("\n") for x in c.LAYOUTS] + c.SCRAPS
    templates += [x.replace("\n", "\r\n") for x in c.LAYOUTS] + [x.replace("\n", "\r") for x in c.LAYOUTS]
    rows += [row(x, "more", c.TEMPLATE_VARS) for x in dict.fromkeys(templates)]
    rows += [{"t": x, "v": "vars", "unsupported": True} for x in c.UNSUPPORTED]
    return rows


def random_ones():
    import jinja_random

    rows = [{"define": "vars", "value": jinja_random.VARS}]
    return rows + [row(t, "vars", jinja_random.VARS) for t in jinja_random.make(RANDOM_COUNT, RANDOM_SEED)]


# --- conversations -------------------------------------------------------------------------------------------------------

def user(content, **more):
    return {"role": "user", "content": content, **more}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def call(arguments, name="get_weather", ident="abcdefghi"):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def parts(*texts):
    return [{"type": "text", "text": t} for t in texts]


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a city.\nMetric.", "parameters": {
            "type": "object", "properties": {
                "city": {"type": "string", "description": " The city, \"Zürich\" "}, "days": {"type": "array", "items": {"type": "integer"}, "description": "d"},
                "unit": {"type": ["string", "null"], "enum": ["c", "f"], "description": "u"},
                "at": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"], "description": "p"}},
            "required": ["city"]}, "return": {"type": "string"}}},
    {"type": "function", "function": {"name": "now", "description": "Time", "parameters": {"type": "object", "properties": {}}}},
]
CHATS = {
    "user": [user("Hello, who are you?")],
    "system": [system("Be brief."), user(" hi \n")],
    "long": [system("s"), user("a"), assistant("b"), user("c"), assistant(" d ")],
    "two users": [user("a"), user("b")],
    "assistant": [user("q"), assistant("partial answer  ")],
    "reasoning": [user("q"), assistant("ans", reasoning_content="why"), user("z"), assistant("end", thinking="hm")],
    "think": [user("q"), assistant("<think>\nhmm\n</think>\n\nans"), user("more"), assistant("<think>x</think>y")],
    "tools": [system("sys"), user("w?"), assistant("", tool_calls=[call({"city": "Paris", "days": [1, 2.0, None]})]),
              {"role": "tool", "content": "{\"t\": 5}", "name": "get_weather", "tool_call_id": "abcdefghi"}, assistant("5 deg"), user("ok")],
    "two calls": [user("w?"), assistant(None, tool_calls=[call({"city": "é"}), call({}, "now", "123456789")]),
                  {"role": "tool", "content": "5", "tool_call_id": "abcdefghi"}, {"role": "tool", "content": "6", "tool_call_id": "123456789"}],
    "parts": [system(parts("sys")), user(parts("one", "two ")), assistant(parts("x  "))],
    "image": [user([{"type": "image"}, {"type": "text", "text": "what?"}, "plain"])],
    "odd role": [{"role": "weird", "content": "x"}],
    "empty": [user("")],
    "unicode": [user("\u3000日本語 😀\u00a0"), assistant("é\r\n\t\u0000x")],
    "no content": [{"role": "user"}],
    "null": [user("a"), assistant(None)],
    "number": [user(5)],
    "input": [user("do", input=" a\nb\n")],
}
KWARGS = [
    {}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "enable_thinking": False, "reasoning_effort": "low"},
    {"tools": TOOLS, "add_generation_prompt": True}, {"tools": []}, {"continue_final_message": True},
    {"documents": [{"title": "t", "text": "some words of a longer text"}, {"title": "a", "text": "x"}]},
    {"chat_template_kwargs": {"reasoning_effort": "high", "add_generation_prompt": True}},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
SPECIAL_REQUESTS = [
    {"messages": []}, {"messages": [user("a")], "continue_final_message": True, "add_generation_prompt": True},
    {"messages": [user("q"), assistant("x", reasoning="r ")], "continue_final_message": "reasoning_content"},
    {"messages": [user("q"), assistant("x")], "continue_final_message": "nothing"},
    {"messages": [user("q"), assistant("CONTINUE_FINAL_MESSAGE_TAG x")], "continue_final_message": True},
    {"messages": [user("q"), assistant("  ")], "continue_final_message": True},
    {"messages": [user("q"), assistant([{"type": "image"}])], "continue_final_message": True},
    {"messages": [user("q")], "tools": ["x"]}, {"messages": [user("q")], "documents": [1]}, {"messages": [user("q")], "tools": None},
    {"messages": [user("q")], "bos_token": "<other>", "unknown": {"a": [1, 2.5, None]}}, {"messages": [user("q"), "x"]},
]


def conversations():
    rows = [{"messages": name, "value": messages} for name, messages in CHATS.items()]
    rows += [{"kwargs": i, "value": kwargs} for i, kwargs in enumerate(KWARGS)]

    def add(template, path, request, tokens, given):
        text, error = apply(template, request, tokens)
        rows.append({"template": path.name, **given, "tokens": bool(tokens), **({"text": text} if error is None else {"error": error})})
        return text, error

    for path in sorted((FIXTURES / "templates").glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        for name, messages in CHATS.items():
            first = None
            for i, kwargs in enumerate(KWARGS):
                answer = add(template, path, {"messages": messages, **kwargs}, TOKENS, {"m": name, "k": i})
                if answer == first:
                    rows.pop()  # a keyword that this template does not know
                first = first or answer
        for request in SPECIAL_REQUESTS:
            add(template, path, request, TOKENS, {"request": request})
        add(template, path, {"messages": CHATS["long"]}, {}, {"m": "long", "k": 0})
    return rows


if __name__ == "__main__":
    write("cases.jsonl", hand_written())
    write("random.jsonl", random_ones())
    write("chat.jsonl", conversations())
