/* regex.h - regular expressions in the syntax of RE2, over UTF-8, in time linear in the text. */
#pragma once
#include "host.h"

typedef struct Regex Regex;
Regex *regex_new(tn_call *, tenon_str pattern); /* NULL: malformed or not supported, the op has failed */
void regex_free(tn_call *, Regex *);
bool regex_full(Regex *, tenon_str); /* does it match the whole text? */
/* The leftmost match that starts at `from` or later, as a backtracking matcher would choose it. */
bool regex_search(Regex *, tenon_str, uint64_t from, uint64_t *start, uint64_t *end);

/* utf.c */
uint32_t utf_next(const char **p, const char *end); /* a code point; a byte that starts none: 0xfffd, one byte is taken */
int utf_put(char to[4], uint32_t c);                /* bytes written */
uint32_t utf_lower(uint32_t c);
uint32_t utf_upper(uint32_t c);
