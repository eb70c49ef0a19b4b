#!/usr/bin/env python3
"""Writes src/text/tokenizer/unicode_tables.h by asking the `tokenizers` library.

The library carries several versions of the Unicode character database: 16.0 in its regular
expressions, 17.0 in lower-casing and "is numeric", 9.0 in normalization.  PCRE2 and utf8proc of
Debian 12 have 14.0.  The tables hold the code points on which they differ, found by trying every
code point; run this again when the library moves on.

Needs: pip install tokenizers regex
"""

import sys
import unicodedata

import regex
from tokenizers import Regex, normalizers, pre_tokenizers

assert unicodedata.unidata_version.startswith("14."), "the baseline must be Unicode 14"

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CATEGORIES = (
    "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp " "Cc Cf Co"
).split()
SCRIPTS = (
    "Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati "
    "Gurmukhi Han Hangul Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam "
    "Mongolian Myanmar Oriya Sinhala Tamil Telugu Thaana Thai Tibetan"
).split()


def chunks():
    for i in range(0, len(ALL), 4096):
        yield ALL[i : i + 4096]


def matched(pattern):
    """Code points that `pattern` matches in the library's regular expressions."""
    pre = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for cs in chunks():
        left = bytearray(len(cs))
        for _, (a, b) in pre.pre_tokenize_str("".join(cs)):
            for k in range(a, b):
                left[k] = 1
        found |= {ord(c) for k, c in enumerate(cs) if not left[k]}
    return found


def numeric():
    pre = pre_tokenizers.Digits(individual_digits=True)
    found = set()
    for cs in chunks():
        spans = {s for _, s in pre.pre_tokenize_str("".join("ab" + c for c in cs))}
        found |= {ord(c) for k, c in enumerate(cs) if (3 * k + 2, 3 * k + 3) in spans}
    return found


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def category(c):
    return unicodedata.category(chr(c))


def new_rows():
    """(first, last, category, alphabetic) of what regular expressions know beyond Unicode 14."""
    cat = {}
    for name in CATEGORIES:
        for c in matched(r"\p{%s}" % name):
            cat[c] = name
    alphabetic = matched(r"\p{Alphabetic}")
    rows = []
    moved = []
    for ch in ALL:
        c = ord(ch)
        now = cat.get(c, "Cn")
        if now == category(c):
            continue
        if category(c) != "Cn":
            moved.append((c, category(c), now))
            continue
        alpha = c in alphabetic
        if rows and rows[-1][1] == c - 1 and rows[-1][2:] == [now, alpha]:
            rows[-1][1] = c
        else:
            rows.append([c, c, now, alpha])
    assert moved == [(0x1171E, "Mn", "Mc")], moved
    return rows


def inert():
    """Code points that decompose or reorder by a later Unicode, but not in the library."""
    n = normalizers.NFKD()
    found = set()
    for ch in ALL:
        nfkd = n.normalize_str(ch)
        moves = (
            n.normalize_str("a\u0315" + ch) != "a\u0315" + nfkd
            or n.normalize_str("a" + ch + "\u0334") != "a" + nfkd + "\u0334"
        )
        if nfkd == ch and not moves and regex.match(r"[^\p{ccc=0}]|\P{dt=None}", ch):
            found.add(ord(ch))
    return found


def lower_rows():
    n = normalizers.Lowercase()
    rows = []
    for ch in ALL:
        low = n.normalize_str(ch)
        if low == ch.lower():
            continue
        assert len(low) == 1
        c, delta = ord(ch), ord(low) - ord(ch)
        if rows and rows[-1][1] == c - 1 and rows[-1][2] == delta:
            rows[-1][1] = c
        else:
            rows.append([c, c, delta])
    return rows


def emit(out, comment, declaration, items, per_line):
    out.append("/* %s */" % comment)
    out.append(declaration + " = {")
    for i in range(0, len(items), per_line):
        out.append("    " + ", ".join(items[i : i + per_line]) + ",")
    out.append("};")
    out.append("")


def main():
    rows = new_rows()
    covered = {c for a, b, *_ in rows for c in range(a, b + 1)}
    num = numeric()
    extra = ranges(
        c
        for c in num
        if category(c)[0] != "N" and not any(a <= c <= b and k[0] == "N" for a, b, k, _ in rows)
    )
    scripts = []
    for s in SCRIPTS:
        scripts += [(a, b, s) for a, b in ranges(matched(r"\p{%s}" % s) & covered)]
    out = [
        "/* tokenizer_unicode_tables.h - where the tokenizers library's Unicode differs from 14.0.",
        " *",
        " * Written by tests/golden/make_unicode_tables.py; see tokenizer_unicode.c for their use. */",
        "",
    ]
    emit(
        out,
        "Assigned after Unicode 14, with general category and Alphabetic, up to 16.0.",
        "static const struct new_range new_ranges[]",
        ['{0x%X, 0x%X, "%s", %d}' % (a, b, k, f) for a, b, k, f in rows],
        3,
    )
    emit(
        out,
        "Their scripts, where \\p{...} takes the script's name.",
        "static const struct script_range script_ranges[]",
        ['{0x%X, 0x%X, "%s"}' % r for r in scripts],
        3,
    )
    emit(
        out,
        "Numeric in Unicode 17 and not above.",
        "static const struct range newer_numeric[]",
        ["{0x%X, 0x%X}" % tuple(r) for r in extra],
        5,
    )
    emit(
        out,
        "Left alone by normalization, which knows Unicode 9.",
        "static const struct range inert_ranges[]",
        ["{0x%X, 0x%X}" % tuple(r) for r in ranges(inert())],
        5,
    )
    emit(
        out,
        "Lower case added after Unicode 14: what to add to the code point.",
        "static const struct lower_range lower_ranges[]",
        ["{0x%X, 0x%X, %d}" % tuple(r) for r in lower_rows()],
        4,
    )
    path = sys.argv[1] if len(sys.argv) > 1 else "src/text/tokenizer/unicode_tables.h"
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(out))


if __name__ == "__main__":
    main()
