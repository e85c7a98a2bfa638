// refused.c - operators that models hold and that stay out, with what their users can do instead.
#include "import.h"
#include <string.h>

#define LOOP "runs a whole generation loop over other graphs: compile the decoder and keep the loop in the application"
#define LAYOUT "is written by a layout optimisation for one machine: save the model at a lower optimisation level"
#define ORDERED "works on tensors in a memory order of one GPU library: export with QuantizeLinear and DequantizeLinear"
#define BLOB "holds what one execution provider has compiled: take the model from which it was made"

static const struct {
  const char *domain, *type; // type: NULL for every operator of the domain, or its beginning if it ends in *
  const char *why;
} refused[] = {
    {"com.microsoft", "BeamSearch", LOOP},
    {"com.microsoft", "GreedySearch", LOOP},
    {"com.microsoft", "Sampling", LOOP},
    {"com.microsoft", "WhisperBeamSearch", LOOP},
    {"com.microsoft", "QOrdered*", ORDERED},
    {"com.microsoft", "QuantizeWithOrder", ORDERED},
    {"com.microsoft", "DequantizeWithOrder", ORDERED},
    {"com.microsoft", "EPContext", BLOB},
    {"com.microsoft", "Snpe", BLOB},
    {"com.microsoft.nchwc", NULL, LAYOUT},
    {"com.ms.internal.nhwc", NULL, LAYOUT},
};

static bool matches(const char *pattern, const char *type) {
  size_t n = strlen(pattern);
  return n && pattern[n - 1] == '*' ? !strncmp(pattern, type, n - 1) : !strcmp(pattern, type);
}

const char *why_refused(const char *domain, const char *type) {
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    if (!strcmp(refused[i].domain, domain) && (!refused[i].type || matches(refused[i].type, type))) return refused[i].why;
  return "is not known";
}
