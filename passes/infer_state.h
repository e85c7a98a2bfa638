// infer_state.h - troubles found by rules: kept until it is clear that the iteration they belong to is the last one.
#pragma once
#include "infer_rules.h"

void unsupported(const Node *, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
