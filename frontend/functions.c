// functions.c - model-local functions are inlined where they are called.
// Their sizes are counted first, so recursion and explosive nesting are refused before any node is copied.
#include "import.h"
#include <string.h>

static Sym key_of(const char *domain, const char *name, const char *overload) {
  if (!domain || !strcmp(domain, "ai.onnx")) domain = "";
  return sym_fmt("%s\n%s\n%s", domain, name ? name : "", overload ? overload : "");
}

Function *find_function(const Importer *im, const Onnx__NodeProto *n) {
  return im->function.n ? map_get(&im->function, key_of(n->domain, n->op_type, n->overload)) : NULL;
}

static int64_t count_nodes(Importer *im, Onnx__NodeProto **node, size_t n, int depth);

static int64_t count_function(Importer *im, Function *f, int depth) {
  Where w = {.file = im->file, .node_index = -1, .op = f->proto->name, .domain = f->proto->domain};
  if (f->state == 1) fail(EXIT_INVALID, "function.recursion", &w, "function %s calls itself", f->proto->name);
  if (depth > MAX_CALL_DEPTH) fail(EXIT_LIMIT, "limit.depth", &w, "functions call each other deeper than %d", MAX_CALL_DEPTH);
  if (f->state == 2) return f->size;
  f->state = 1;
  f->size = count_nodes(im, f->proto->node, f->proto->n_node, depth + 1);
  f->state = 2;
  return f->size;
}

static int64_t count_nodes(Importer *im, Onnx__NodeProto **node, size_t n, int depth) {
  int64_t total = 0;
  for (size_t k = 0; k < n; k++) {
    Function *f = find_function(im, node[k]);
    total += f ? count_function(im, f, depth) + 1 : 1;
    for (size_t a = 0; a < node[k]->n_attribute; a++) {
      const Onnx__GraphProto *g = node[k]->attribute[a]->g;
      if (g) total += count_nodes(im, g->node, g->n_node, depth);
    }
    if (total > MAX_INLINED) total = (int64_t)MAX_INLINED + 1;
  }
  return total;
}

void collect_functions(Importer *im) {
  const Onnx__ModelProto *m = im->model;
  Where w = {.file = im->file, .node_index = -1};
  if (m->n_functions > MAX_FUNCTIONS) fail(EXIT_LIMIT, "limit.functions", &w, "more than %d functions", MAX_FUNCTIONS);
  for (size_t k = 0; k < m->n_functions; k++) {
    const Onnx__FunctionProto *p = m->functions[k];
    Sym key = key_of(p->domain, p->name, p->overload);
    if (!p->name || !*p->name) fail(EXIT_INVALID, "function.malformed", &w, "a function without a name");
    if (map_get(&im->function, key)) fail(EXIT_INVALID, "function.duplicate", &w, "function %s is defined twice", p->name);
    Function *f = NEW(Function);
    f->proto = p;
    map_put(&im->function, key, f);
  }
  for (size_t k = 0; k < m->n_functions; k++)
    count_function(im, map_get(&im->function, key_of(m->functions[k]->domain, m->functions[k]->name, m->functions[k]->overload)), 0);
  if (count_nodes(im, m->graph->node, m->graph->n_node, 0) > MAX_INLINED && m->n_functions)
    fail(EXIT_LIMIT, "limit.nodes", &w, "inlining the functions would make more than %d nodes", MAX_INLINED);
}

static void bind_inputs(const Scope *s, Scope *body, const Onnx__NodeProto *n, const Onnx__FunctionProto *p, const Where *w) {
  if (n->n_input > p->n_input)
    report(LEVEL_ERROR, EXIT_INVALID, "node.arity", w, "%s takes %zu inputs, not %zu", p->name, p->n_input, n->n_input);
  for (size_t k = 0; k < p->n_input; k++) {
    const char *given = k < n->n_input ? n->input[k] : "";
    Value *v = *given ? find_value(s, given) : NULL;
    if (v) define_value(body, p->input[k], v, w);
    else if (*given) report(LEVEL_ERROR, EXIT_INVALID, "graph.undefined", w, "input '%s' is not defined", given);
    else map_put(&body->info, sym(p->input[k]), body); // known, but left out
  }
}

static void bind_outputs(Scope *s, const Scope *body, const Onnx__NodeProto *n, const Onnx__FunctionProto *p, const Where *w) {
  if (n->n_output > p->n_output)
    report(LEVEL_ERROR, EXIT_INVALID, "node.arity", w, "%s has %zu outputs, not %zu", p->name, p->n_output, n->n_output);
  for (size_t k = 0; k < n->n_output; k++) {
    if (!*n->output[k]) continue;
    Value *v = k < p->n_output ? find_value(body, p->output[k]) : NULL;
    if (!v && k < p->n_output)
      report(LEVEL_ERROR, EXIT_INVALID, "graph.undefined", w, "output '%s' of function %s is never made", p->output[k], p->name);
    if (v && !v->data && v->def && body->graph == v->graph) v->name = sym(n->output[k]);
    define_value(s, n->output[k], v ? v : poison(), w);
  }
}

void inline_call(Importer *im, Scope *s, const Onnx__NodeProto *n, Function *f, const Where *w) {
  const Onnx__FunctionProto *p = f->proto;
  Scope body = {.graph = s->graph, .opset = p->opset_import, .nopset = p->n_opset_import, .function = p, .call = n, .caller = s};
  body.site = s->site ? s->site : w;
  body.depth = s->depth + 1;
  bind_inputs(s, &body, n, p, w);
  import_nodes(im, &body, p->node, p->n_node, w);
  bind_outputs(s, &body, n, p, w);
}
