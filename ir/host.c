// host.c - making host programs.
#include "host.h"
#include <string.h>

Program *program_new(Sym name) {
  Program *p = NEW(Program);
  p->name = name;
  return p;
}

HBuf *program_buf(Program *p, Sym name, const Type *type, HPlace place) {
  HBuf *b = NEW(HBuf);
  b->name = name, b->type = type, b->place = place, b->id = p->nbuf;
  PUSH(p->buf, p->nbuf, p->cbuf, b);
  return b;
}

bool host_calls(const HStmt *s, const char *callee) {
  for (; s; s = s->next)
    if ((s->kind == HS_CALL && (!callee || !strcmp(s->callee, callee))) || host_calls(s->body, callee) || host_calls(s->other, callee))
      return true;
  return false;
}

bool hbuf_is_handle(const HBuf *b) { return b->type->kind != TYPE_TENSOR || b->type->dtype == DT_STR || b->place == PLACE_HANDLE; }

IExpr *hbuf_size(const HBuf *b) {
  Buf as = {.rank = b->type->rank, .lay = b->lay};
  for (int i = 0; i < as.rank; i++) as.dim[i] = b->type->dim[i];
  return buf_size(&as);
}
