/* SPDX-License-Identifier: Apache-2.0 */
/* Errors are of fixed size whatever goes into them, and outside text never reaches a terminal as control bytes or broken UTF-8. */
#include <stdio.h>

#include "base/err.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void test_set_and_wrap(void)
{
	struct err e = { 0 };
	EXPECT(err_set(&e, ERR_NOT_FOUND, "volume %s: not there", "data") == -1, "err_set returns -1");
	EXPECT(e.code == ERR_NOT_FOUND && e.sys == 0 && strcmp(e.msg, "volume data: not there") == 0, "%s", e.msg);
	EXPECT(strstr(e.origin, "base_err.c:") != NULL, "origin is %s", e.origin);
	EXPECT(err_wrap(&e, "service %s", "web") == -1 && strcmp(e.msg, "service web: volume data: not there") == 0, "%s", e.msg);
	EXPECT(e.code == ERR_NOT_FOUND, "a clause keeps the code");
	EXPECT(err_sys(&e, ENOENT, "open %s", "/x") == -1 && e.sys == ENOENT && e.code == ERR_SYS, "err_sys keeps errno");
	EXPECT(strcmp(e.msg, "open /x: No such file or directory") == 0, "%s", e.msg);
	EXPECT(err_set(NULL, ERR_INVALID, "x") == -1 && err_wrap(NULL, "x") == -1, "no error wanted is fine");
}

/* A message that is too long is cut, at every layer, and stays a string. */
static void test_cut(void)
{
	struct err e = { 0 };
	char big[2000];
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_sys(&e, EIO, "%s", big);
	EXPECT(strlen(e.msg) == sizeof(e.msg) - 1, "cut at %zu", strlen(e.msg));
	for (int i = 0; i < 50; i++)
		err_wrap(&e, "layer %d", i);
	EXPECT(strlen(e.msg) == sizeof(e.msg) - 1 && strncmp(e.msg, "layer 49: layer 48: ", 20) == 0, "%.40s", e.msg);
	err_wrap(&e, "%s", big);
	EXPECT(strlen(e.msg) == sizeof(e.msg) - 1, "cut at %zu", strlen(e.msg));
}

static void test_quote(void)
{
	static const struct {
		const char *in, *want;
	} table[] = {
		{ "", "" }, { "plain text", "plain text" }, { "a\nb\tc", "a\\x0ab\\x09c" }, { "\033[31mred", "\\x1b[31mred" }, { "\x7f", "\\x7f" },
		{ "grün €", "grün €" }, { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" }, { "\xff\xfe", "\\xff\\xfe" }, { "a\xc3", "a\\xc3" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" }, { "\xc0\xaf", "\\xc0\\xaf" }, { "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" }, { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, { "\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80" },
	};
	char buf[64];
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		EXPECT(strcmp(err_quote(buf, sizeof(buf), table[i].in), table[i].want) == 0, "case %zu: %s, not %s", i, buf, table[i].want);
}

/* Whatever the size of the buffer, the result ends inside it and is valid UTF-8 to its end. */
static void test_quote_sizes(void)
{
	static const char text[] = "ab€\n\xff\xf0\x9f\x98\x80 end of the text";
	for (size_t size = 8; size < 64; size++) {
		char buf[80];
		size_t len;
		memset(buf, '#', sizeof(buf));
		err_quote(buf, size, text);
		len = strlen(buf);
		EXPECT(len < size && buf[size] == '#', "size %zu: %zu bytes written", size, len);
		EXPECT(len < 3 || strcmp(buf + len - 4, "text") == 0 || strcmp(buf + len - 3, "…") == 0, "size %zu: ends in %s", size, buf + len - 3);
	}
}

int main(void)
{
	test_set_and_wrap();
	test_cut();
	test_quote();
	test_quote_sizes();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
