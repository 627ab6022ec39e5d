#include "spec/canon.h"
int canon_yaml(const struct load_result *r, struct str *ret, struct err *err)
{
	return canon_json(r, ret, err);
}
