// graph_text.h - what printer and parser of graph IR share: constants above INLINE_MAX elements go to the side file; strings there are
// their length (8 bytes, little endian) and bytes, one after the other.
#pragma once
#include "graph.h"
enum { INLINE_MAX = 64, SIDE_ALIGN = 64 };
static inline int tensor_parts(const Tensor *t) { return t->dtype == DT_C64 || t->dtype == DT_C128 ? 2 : 1; } // numbers per element

/* the same forms, for the text of programs */
void text_put_tensor(Text *, Text *side, const Tensor *);
void text_put_attr(Text *, Text *side, const Attr *); // the value, without its name
typedef struct TextCursor {
  const char *p, *start, *file; // start: for line numbers
  const void *side;
  size_t nside;
} TextCursor;
Tensor *text_tensor(TextCursor *);
Attr text_attr(TextCursor *);
