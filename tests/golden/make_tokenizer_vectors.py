#!/usr/bin/env python3
"""Writes tests/fixtures/tokenizer: small tokenizers of many kinds and what the `tokenizers` library
does with a list of texts, one folder each:

    tokenizer.json   the tokenizer, a few hundred tokens
    rows.jsonl       {"text", "ids", "special", "no_special", "decoded", "skipped"}: encoded without
                     and with the post-processor, with special tokens as plain text; decoded without
                     and with skipping of special tokens.  {"ids", "decoded", "skipped"}: ids that
                     no text gives.

Needs: pip install tokenizers
"""

import json
import os
import random
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXT = """the cat sat on the mat and the dog sat in the sun . one day the little girl said she was
happy because her friend had a big red ball they played with in the park until it was dark 123 456
7890 don't can't we'll they've I'm he'd caf\u00e9 na\u00efve stra\u00dfe \u4eca\u5929\u5929\u6c14 \u043c\u0438\u0440 1/2 (a) [b] {c}"""

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "the cat",
    " the cat",
    "the  cat ",
    "The CAT sat.\n\nOn the mat",
    "don't DON'T don\u2019t",
    "they've I'm he'd we'll",
    "123 4567 89",
    "a1b22c333",
    "caf\u00e9 cafe\u0301 na\u00efve",
    "stra\u00dfe STRASSE",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d",
    "\u043c\u0438\u0440 \u041c\u0418\u0420",
    "\U0001f642\U0001f642 ok",
    "tab\tand\r\nline",
    "\u00a0nbsp\u2003em\u3000wide",
    "<s>",
    "<s>the cat</s>",
    " <s> the </s> cat",
    "x<s>x",
    "<tool>",
    "a <tool> b",
    "a<tool>b",
    "word",
    "words word, word",
    "aword word",
    "\u2581the\u2581cat",
    "<0x41><0x0A>",
    "\u212b\ufb01\u00bd\u2460",
    "\u0130I\u0131i",
    "\u1100\u1161\u11a8 \uac01",
    "\u0d3b\u0315x\u0334",
    "a\u0301\u0323 a\u0323\u0301",
    "\u200dzero\u200bwidth",
    "!!! ??? ...",
    "snake_case camelCase",
    "  \n  x",
    "\U00010d50\U00010d70 \U00031350 \ua7cb",
    "the<s> the <s>the",
    "  <tool>  ",
    "\ud7a4".encode("utf-8", "replace").decode(),
    "e\u0301e\u0301 ABC abc",
]

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2 = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
MARK = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
UNMARK = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}


def split(pattern, behavior, invert=False, regex=True):
    return {
        "type": "Split",
        "pattern": {"Regex" if regex else "String": pattern},
        "behavior": behavior,
        "invert": invert,
    }


def sequence(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


def metaspace(scheme, do_split):
    return {
        "type": "Metaspace",
        "replacement": "\u2581",
        "prepend_scheme": scheme,
        "split": do_split,
    }


def added(content, **flags):
    token = dict(
        id=0,
        content=content,
        single_word=False,
        lstrip=False,
        rstrip=False,
        normalized=False,
        special=False,
    )
    token.update(flags)
    return token


def template(before, after=()):
    names = list(before) + list(after)
    single = (
        [{"SpecialToken": {"id": n, "type_id": 0}} for n in before]
        + [{"Sequence": {"id": "A", "type_id": 0}}]
        + [{"SpecialToken": {"id": n, "type_id": 0}} for n in after]
    )
    table = {n: {"id": n, "ids": [0 if n == "<s>" else 1], "tokens": [n]} for n in names}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": table,
    }


SPECIAL = [added("<s>", special=True), added("</s>", special=True), added("<tool>")]

# name: (stages, model options, what the vocabulary is trained on)
KINDS = {
    "split-isolated": (
        dict(
            added_tokens=SPECIAL,
            pre_tokenizer=sequence("pretokenizers", split(SPLIT, "Isolated"), BYTES),
            decoder=GPT2,
            post_processor=sequence("processors", GPT2, template(["<s>"])),
        ),
        dict(ignore_merges=True),
        "bytes",
    ),
    "gpt2-prefix-space": (
        dict(
            added_tokens=SPECIAL,
            pre_tokenizer=GPT2,
            decoder=GPT2,
            post_processor={
                "type": "RobertaProcessing",
                "sep": ["</s>", 1],
                "cls": ["<s>", 0],
                "trim_offsets": True,
                "add_prefix_space": True,
            },
        ),
        {},
        "bytes",
    ),
    "nfc-qwen": (
        dict(
            added_tokens=SPECIAL,
            normalizer={"type": "NFC"},
            pre_tokenizer=sequence(
                "pretokenizers", split(SPLIT.replace("{1,3}", ""), "Isolated"), BYTES
            ),
            decoder=GPT2,
        ),
        {},
        "bytes",
    ),
    "digits": (
        dict(
            added_tokens=SPECIAL,
            pre_tokenizer=sequence(
                "pretokenizers", {"type": "Digits", "individual_digits": True}, GPT2
            ),
            decoder=GPT2,
        ),
        {},
        "bytes",
    ),
    "digits-contiguous": (
        dict(
            pre_tokenizer=sequence(
                "pretokenizers", {"type": "Digits", "individual_digits": False}, BYTES
            ),
            decoder=GPT2,
        ),
        {},
        "bytes",
    ),
    "llama2": (
        dict(
            added_tokens=SPECIAL,
            normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "\u2581"}, MARK),
            post_processor=template(["<s>"]),
            decoder=sequence(
                "decoders",
                UNMARK,
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ),
        ),
        dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        "marks+bytes",
    ),
    "metaspace-first": (
        dict(
            added_tokens=SPECIAL,
            pre_tokenizer=metaspace("first", False),
            decoder=sequence("decoders", UNMARK, {"type": "ByteFallback"}, {"type": "Fuse"}),
        ),
        dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        "marks+bytes",
    ),
    "metaspace-always-split": (
        dict(
            added_tokens=SPECIAL,
            pre_tokenizer=metaspace("always", True),
            decoder=metaspace("always", True),
            post_processor=template(["<s>"], ["</s>"]),
        ),
        dict(unk_token="<unk>", fuse_unk=True),
        "marks",
    ),
    "metaspace-never": (
        dict(pre_tokenizer=metaspace("never", True), decoder=metaspace("never", True)),
        dict(unk_token="<unk>", fuse_unk=False),
        "marks",
    ),
    "removed": (
        dict(pre_tokenizer=split(r"\s+", "Removed"), decoder=None),
        dict(unk_token="<unk>"),
        "chars",
    ),
    "merged-previous": (
        dict(pre_tokenizer=split(r"[\s\p{P}]", "MergedWithPrevious"), decoder={"type": "Fuse"}),
        dict(unk_token="<unk>"),
        "chars",
    ),
    "merged-next": (
        dict(pre_tokenizer=split(r"[\s\p{P}]", "MergedWithNext"), decoder={"type": "Fuse"}),
        dict(unk_token="<unk>"),
        "chars",
    ),
    "contiguous": (
        dict(pre_tokenizer=split(r"\s", "Contiguous"), decoder={"type": "Fuse"}),
        dict(unk_token="<unk>"),
        "chars",
    ),
    "inverted": (
        dict(pre_tokenizer=split(r"\w+", "Removed", invert=True), decoder=None),
        {},
        "chars",
    ),
    "literal-split": (
        dict(pre_tokenizer=split("at", "Isolated", regex=False), decoder={"type": "Fuse"}),
        dict(unk_token="<unk>"),
        "chars",
    ),
    "whitespace": (
        dict(pre_tokenizer={"type": "Whitespace"}, decoder=None),
        dict(unk_token="<unk>"),
        "chars",
    ),
    "whitespace-split": (
        dict(pre_tokenizer={"type": "WhitespaceSplit"}, decoder=None),
        dict(unk_token="<unk>"),
        "chars",
    ),
    "nfkc-lower-strip": (
        dict(
            added_tokens=[added("<s>", special=True), added("The CAT", normalized=True)],
            normalizer=sequence(
                "normalizers",
                {"type": "NFKC"},
                {"type": "Lowercase"},
                {"type": "Strip", "strip_left": True, "strip_right": True},
            ),
            pre_tokenizer=GPT2,
            decoder=GPT2,
        ),
        {},
        "bytes",
    ),
    "nfd-replace": (
        dict(
            normalizer=sequence(
                "normalizers",
                {"type": "NFD"},
                {"type": "Replace", "pattern": {"Regex": r"\p{Mn}+|\d"}, "content": "*"},
            ),
            pre_tokenizer=GPT2,
            decoder=GPT2,
        ),
        {},
        "bytes",
    ),
    "nfkd": (dict(normalizer={"type": "NFKD"}, pre_tokenizer=GPT2, decoder=GPT2), {}, "bytes"),
    "added-flags": (
        dict(
            added_tokens=[
                added("<s>", special=True, lstrip=True, rstrip=True),
                added("<tool>", rstrip=True),
                added("word", single_word=True),
                added("cat", lstrip=True, normalized=True),
                added("cats"),
                added("ca"),
            ],
            normalizer=MARK,
            decoder={"type": "Fuse"},
        ),
        dict(unk_token="<unk>"),
        "marks",
    ),
    "suffix": (
        dict(
            pre_tokenizer={"type": "WhitespaceSplit"},
            decoder={"type": "BPEDecoder", "suffix": "</w>"},
        ),
        dict(unk_token="<unk>", end_of_word_suffix="</w>"),
        "chars",
    ),
    "prefix": (
        dict(pre_tokenizer={"type": "WhitespaceSplit"}, decoder=None),
        dict(unk_token="<unk>", continuing_subword_prefix="##"),
        "chars",
    ),
}


def train(options, alphabet):
    """Vocabulary and merges of a small BPE model."""
    t = Tokenizer(
        models.BPE(
            **{
                k: v
                for k, v in options.items()
                if k in ("end_of_word_suffix", "continuing_subword_prefix")
            }
        )
    )
    special = ["<s>", "</s>", "<unk>"]
    start = []
    if alphabet == "bytes":
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        start = pre_tokenizers.ByteLevel.alphabet()
    elif alphabet.startswith("marks"):
        t.pre_tokenizer = pre_tokenizers.Metaspace()
        if alphabet == "marks+bytes":
            special += ["<0x%02X>" % b for b in range(256)]
    else:
        t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    size = len(special) + len(start) + 120
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=sorted(start),
        show_progress=False,
        **{
            k: v
            for k, v in options.items()
            if k in ("end_of_word_suffix", "continuing_subword_prefix")
        }
    )
    t.train_from_iterator(TEXT.split("\n") * 3, trainer)
    model = json.loads(t.to_str())["model"]
    return model["vocab"], model["merges"]


def build(stages, options, alphabet):
    vocab, merges = train(options, alphabet)
    model = dict(
        type="BPE",
        dropout=None,
        unk_token=None,
        continuing_subword_prefix=None,
        end_of_word_suffix=None,
        fuse_unk=False,
        byte_fallback=False,
        ignore_merges=False,
    )
    model.update(options)
    model.update(vocab=vocab, merges=merges)
    whole = dict(
        version="1.0",
        truncation=None,
        padding=None,
        added_tokens=[],
        normalizer=None,
        pre_tokenizer=None,
        post_processor=None,
        decoder=None,
    )
    whole.update(stages)
    whole["model"] = model
    return whole


def rows(t, rng):
    for text in TEXTS:
        ids = t.encode(text, add_special_tokens=False).ids
        special = t.encode(text).ids
        t.encode_special_tokens = True
        plain = t.encode(text, add_special_tokens=False).ids
        t.encode_special_tokens = False
        yield {
            "text": text,
            "ids": ids,
            "special": special,
            "no_special": plain,
            "decoded": t.decode(ids, skip_special_tokens=False),
            "skipped": t.decode(ids, skip_special_tokens=True),
        }
    size = t.get_vocab_size()
    for _ in range(24):
        ids = [rng.randrange(size + 2) for _ in range(rng.randrange(1, 12))]
        yield {
            "ids": ids,
            "decoded": t.decode(ids, skip_special_tokens=False),
            "skipped": t.decode(ids, skip_special_tokens=True),
        }


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/tokenizer"
    for name, (stages, options, alphabet) in KINDS.items():
        folder = os.path.join(out, name)
        os.makedirs(folder, exist_ok=True)
        text = json.dumps(
            build(stages, options, alphabet), ensure_ascii=False, separators=(",", ":")
        )
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
            f.write(text + "\n")
        t = Tokenizer.from_str(text)
        with open(os.path.join(folder, "rows.jsonl"), "w", encoding="ascii") as f:
            for row in rows(t, random.Random(name)):
                f.write(json.dumps(row, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
