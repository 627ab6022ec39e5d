/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as block YAML with the quoting of go-yaml: plain where the text reads back as the same string, "double" where it would be a number, a
 * boolean or a time, 'single' where plain is not possible, | for several lines. */
#ifndef SPEC_YAML_OUT_H
#define SPEC_YAML_OUT_H

#include <jansson.h>

#include "base/str.h"

/* Appends j, ending with a line end. escape_dollar: every $ is written twice. */
void yaml_out(const json_t *j, bool escape_dollar, struct str *ret);
/* Appends n bytes of text, each $ twice when escape_dollar: what both writers of the canonical form do with text that needs nothing else. */
void yaml_out_text(struct str *s, const char *text, size_t n, bool escape_dollar);

#endif
