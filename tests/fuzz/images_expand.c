/* SPDX-License-Identifier: Apache-2.0 */
/* Expansion: the first byte is the flags, the first line a value of $v, the rest the word. Both forms must agree whether it is well formed, and a text
 * without anything special is its own expansion. */
#include "images/build/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_FREE char *text = n ? xstrndup((const char *)data + 1, n - 1) : NULL;
	AUTO_STR struct str out = { 0 };
	AUTO_STRV struct strv words = { 0 };
	struct expand_names names = { 0 };
	struct expand_env env = { 0 };
	struct err err;
	char *line = text ? strchr(text, '\n') : NULL;
	char escape = n && data[0] & 0x80 ? '`' : '\\';
	unsigned flags = n ? data[0] & 15 : 0;
	int r, r_words;
	if (!line)
		return 0;
	*line++ = 0;
	expand_env_set(&env, "v", text);
	expand_env_set(&env, "e", "");
	expand_env_set(&env, "w", "a/b.c");
	r = expand_word(line, escape, flags, &env, &names, &out, &err);
	r_words = expand_words(line, escape, flags, &env, NULL, &words, &err);
	assert(r == r_words);
	assert(r < 0 || out.len <= EXPAND_MAX_BYTES * 3);
	if (r == 0 && !strpbrk(line, "$'\"\\`"))
		assert(str_eq(str_get(&out), line));
	for (size_t i = 0; i < words.n; i++)
		assert(*words.v[i]);
	expand_names_done(&names);
	expand_env_done(&env);
	return 0;
}
