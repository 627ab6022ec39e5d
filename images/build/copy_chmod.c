/* SPDX-License-Identifier: Apache-2.0 */
/* --chmod: an octal mode, or chmod(1)'s symbolic form, clauses of who, operator and permissions: "u=rwX,go=rX", "+x", "g=u". Without a "who", all
 * are meant: the umask of a build is 0. */
#include "images/build/copy.h"

enum { USER = 04700, GROUP = 02070, OTHER = 01007 };

/* The bits that one letter means for everybody; -1: no such letter. */
static int letter(char c, mode_t mode, bool directory)
{
	switch (c) {
	case 'r':
		return 0444;
	case 'w':
		return 0222;
	case 'x':
		return 0111;
	case 'X':
		return directory || (mode & 0111) ? 0111 : 0;
	case 's':
		return 06000;
	case 't':
		return 01000;
	case 'u':
		return (int)((mode >> 6 & 7) * 0111);
	case 'g':
		return (int)((mode >> 3 & 7) * 0111);
	case 'o':
		return (int)((mode & 7) * 0111);
	default:
		return -1;
	}
}

/* One clause at *p, up to a comma or the end. */
static bool clause(const char **p, mode_t *mode, bool directory)
{
	mode_t who = 0;
	for (; **p && strchr("ugoa", **p); ++*p)
		who |= **p == 'u' ? USER : **p == 'g' ? GROUP : **p == 'o' ? OTHER : USER | GROUP | OTHER;
	if (who == 0)
		who = USER | GROUP | OTHER;
	if (!**p || !strchr("+-=", **p))
		return false;
	while (**p && strchr("+-=", **p)) {
		const char op = *(*p)++;
		mode_t bits = 0;
		for (; **p && !strchr("+-=,", **p); ++*p) {
			int b = letter(**p, *mode, directory);
			if (b < 0)
				return false;
			bits |= (mode_t)b;
		}
		bits &= who;
		if (op == '=')
			*mode &= ~(who & (directory ? 0777U : 07777U)); /* a directory keeps set-id bits that are not named */
		*mode = op == '-' ? *mode & ~bits : *mode | bits;
	}
	return **p == ',' || **p == '\0';
}

int copy_chmod(const char *text, mode_t mode, bool directory, mode_t *ret, struct err *err)
{
	const size_t n = strlen(text);
	char shown[80];
	mode &= 07777;
	if (n > 0 && n <= 5 && strspn(text, "01234567") == n) {
		unsigned long octal = strtoul(text, NULL, 8);
		if (octal > 07777)
			goto invalid;
		*ret = (mode_t)octal;
		return 0;
	}
	for (const char *p = text; n > 0; p++) {
		if (!clause(&p, &mode, directory))
			goto invalid;
		if (*p == '\0') {
			*ret = mode;
			return 0;
		}
	}
invalid:
	return err_set(err, ERR_INVALID, "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777, or symbolic",
		err_quote(shown, sizeof(shown), text));
}
