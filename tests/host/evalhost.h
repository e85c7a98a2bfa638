// evalhost.h - the runtime's host operators for the interpreter.
#pragma once
#include "ir/host.h"
#include "runtime/model.h"

void evalhost_bind(const Program *);                // before program_eval, and after compiling: nothing is folded by them
void evalhost_give(int input, const tenon_value *); // a copy
const tenon_value *evalhost_result(int output);     // NULL: it was not made
const char *evalhost_text(void);                    // what the operator said that refused, or ""
