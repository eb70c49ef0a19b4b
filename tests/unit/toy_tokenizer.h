/* toy_tokenizer.h - two tiny tokenizers as folders with their files: byte-level as GPT-2 and Qwen
 * have it, and with byte fallback as Llama 2 has it. */
#ifndef GW_TEST_TOY_TOKENIZER_H
#define GW_TEST_TOY_TOKENIZER_H

/* SCRATCH/toy: ids 0 <pad>, 1 <s>, 2 <|end|> (special), 3 <think> (not special), 4..259 the bytes,
 * then merges of "ab", "abc", "the", " the", "en", "end" and the three bytes of U+20AC in two
 * steps. The post-processor puts <s> in front.  The chat template writes "<role>content<|end|>" for
 * each message and "<assistant>" for the generation prompt, with "!" when enable_thinking is false.
 */
const char *toy_byte_level(void);
/* SCRATCH/llama: ids 0 <unk>, 1 <s>, 2 </s>, 3..258 <0x00>..<0xFF>, then U+2581, "a", "b", "ab",
 * U+2581 "a", "c". */
const char *toy_byte_fallback(void);

enum { TOY_END = 2, TOY_THINK = 3, TOY_BYTES = 4, TOY_SIZE = 4 + 256 + 9 };
enum { LLAMA_END = 2, LLAMA_BYTES = 3, LLAMA_TEXT = 3 + 256, LLAMA_SIZE = 3 + 256 + 6 };

#endif
