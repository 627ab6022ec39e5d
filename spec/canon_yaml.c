/* SPDX-License-Identifier: Apache-2.0 */
/* The model as YAML: the YAML dialect of the canonical form, written by yaml_out. */
#include "spec/canon.h"
#include "spec/shape.h"
#include "spec/yaml_out.h"

int canon_yaml(const struct load_result *r, struct str *ret, struct err *err)
{
	json_t *j = shape_json(r->tree, r->no_interpolate ? NULL : &shape_project, true);
	(void)err;
	yaml_out(j, !r->no_interpolate, ret);
	json_decref(j);
	return 0;
}
