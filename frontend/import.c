// import.c - a model's graphs become graph IR.
// Before: any file. After: nodes in topological order with the newest opset's meaning, names bound to values, Constants and initializers
// constants, functions inlined, bodies regions. What is wrong or unknown is reported all together before the importer gives up.
#include "import.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

Value *find_value(const Scope *s, const char *name) {
  Sym key = sym(name);
  for (; s; s = s->outer) {
    Value *v = map_get(&s->value, key);
    if (v) return v;
  }
  return NULL;
}

void define_value(Scope *s, const char *name, Value *v, const Where *w) {
  if (find_value(s, name))
    report(LEVEL_ERROR, EXIT_INVALID, "graph.duplicate", w, "'%s' is defined twice, or hides a name of a graph around it", name);
  map_put(&s->value, sym(name), v);
}

Value *poison(void) { return graph_input(graph_new(NULL, NULL), NULL, NULL); }

// Names come in any length; messages stay readable.
static const char *shown(const char *name) { return name && strlen(name) > 200 ? fmt("%.180s..", name) : name; }

static Where where_of(const Importer *im, const Scope *s, const Onnx__NodeProto *n, int index) {
  Where w = {.file = im->file, .node_index = index, .node = shown(n->name), .op = shown(n->op_type)};
  w.domain = n->domain ? shown(n->domain) : "";
  if (s->site) w.node_index = s->site->node_index;
  if (*s->graph->path) w.path = s->graph->path;
  return w;
}

/* ---- opsets ---- */

static const char *plain_domain(const char *d) { return !d || !strcmp(d, "ai.onnx") ? "" : d; }

// The version that the scope's file or function imports. 0: none.
static int opset_of(const Scope *s, const char *domain) {
  for (size_t k = 0; k < s->nopset; k++)
    if (!strcmp(plain_domain(s->opset[k]->domain), plain_domain(domain))) return (int)s->opset[k]->version;
  return 0;
}

static void check_opsets(const Importer *im, Onnx__OperatorSetIdProto **opset, size_t n) {
  Where w = {.file = im->file, .node_index = -1};
  for (size_t k = 0; k < n; k++) {
    const char *domain = plain_domain(opset[k]->domain);
    int64_t v = opset[k]->version;
    if (v < 1 || v > INT32_MAX) fail(EXIT_INVALID, "model.opset", &w, "opset %lld of domain '%s'", (long long)v, domain);
    if (!*domain && v > NEWEST_OPSET)
      fail(EXIT_UNSUPPORTED, "model.opset", &w, "the model needs opset %lld; the newest known one is %d", (long long)v, NEWEST_OPSET);
    for (size_t j = 0; j < k; j++)
      if (!strcmp(domain, plain_domain(opset[j]->domain)) && opset[j]->version != v) // some converters write an entry twice
        fail(EXIT_INVALID, "model.opset", &w, "domain '%s' is imported in two versions", domain);
  }
}

/* ---- nodes ---- */

// An input of the function around that its call left out.
static bool left_out(const Scope *s, const char *name) {
  for (Sym key = sym(name); s; s = s->outer)
    if (map_get(&s->info, key) == s) return true;
  return false;
}

static Value **operands(const Scope *s, const Onnx__NodeProto *n, const Where *w) {
  Value **in = NEWN(Value *, n->n_input + 1);
  for (size_t k = 0; k < n->n_input; k++) {
    if (!*n->input[k]) continue;
    in[k] = find_value(s, n->input[k]);
    if (in[k] || left_out(s, n->input[k])) continue;
    report(LEVEL_ERROR, EXIT_INVALID, "graph.undefined", w, "input '%s' is not defined", n->input[k]);
    in[k] = poison();
  }
  return in;
}

// Trailing operands that are left out are no operands.
static int count_operands(Value *const *v, size_t n) {
  while (n && !v[n - 1]) n--;
  return (int)n;
}

static int count_results(const Onnx__NodeProto *n) {
  size_t count = n->n_output;
  while (count && !*n->output[count - 1]) count--;
  return (int)count;
}

static void set_attrs(Importer *im, const Scope *s, Node *n, const Onnx__NodeProto *proto, const Where *w) {
  for (size_t k = 0; k < proto->n_attribute; k++) {
    const Scope *at = s;
    const char *name = proto->attribute[k]->name;
    const Onnx__AttributeProto *a = resolve_attr(&at, proto->attribute[k]);
    if (!name || !*name) report(LEVEL_ERROR, EXIT_INVALID, "attr.malformed", w, "an attribute without a name");
    else if (attr_has(n, name)) report(LEVEL_ERROR, EXIT_INVALID, "attr.duplicate", w, "attribute %s is given twice", name);
    else if (a && !a->g) node_set(n, import_attr(im, a, sym(name), w));
  }
}

// The body that stands for a GRAPH attribute that is not given: it returns its input.
static Graph *identity_region(Graph *parent, Sym name) {
  Graph *g = graph_new(name, parent);
  graph_output(g, graph_input(g, sym("x"), NULL));
  return g;
}

static void set_regions(Importer *im, const Scope *s, Node *n, const Onnx__NodeProto *proto, const Where *w) {
  for (int r = 0; r < n->op->nattr; r++) {
    const AttrRow *row = &n->op->attr[r];
    if (strcmp(row->kind, "GRAPH")) continue;
    const Scope *at = s;
    const Onnx__AttributeProto *a = NULL;
    for (size_t k = 0; k < proto->n_attribute && !a; k++)
      if (proto->attribute[k]->name && !strcmp(proto->attribute[k]->name, row->name)) a = resolve_attr(&at, proto->attribute[k]);
    Sym name =
        proto->name && *proto->name ? sym_fmt("%s.%s", proto->name, row->name) : sym_fmt("%s_%d.%s", n->op->name, n->index, row->name);
    if (a && a->g) node_region(n, import_region(im, at, a->g, name, w));
    else if (*row->dflt != '!') node_region(n, identity_region(n->graph, name));
    else report(LEVEL_ERROR, EXIT_INVALID, "attr.missing", w, "%s needs its graph %s", n->op->name, row->name);
  }
}

static void check_operands(const Node *n, const Where *w) {
  const Op *op = n->op;
  if (n->nin < op->nin_min || (op->nin >= 0 && n->nin > op->nin))
    report(LEVEL_ERROR, EXIT_INVALID, "node.arity", w, "%s has %d inputs", op->name, n->nin);
  if (n->nout < op->nout_min || (op->nout >= 0 && n->nout > op->nout))
    report(LEVEL_ERROR, EXIT_INVALID, "node.arity", w, "%s has %d outputs", op->name, n->nout);
  for (int k = 0; k < op->nin_min && k < n->nin; k++)
    if (!n->in[k] && !op_operand(op, false, k).optional)
      report(LEVEL_ERROR, EXIT_INVALID, "node.arity", w, "input %d of %s is required", k, op->name);
}

static void check_regions(const Node *n, const Where *w) {
  const Attr *count = n->op->id == OP_Scan ? attr_find(n, "num_scan_inputs") : NULL;
  if (count && count->kind == ATTR_INT && (count->i < 1 || count->i > n->nin))
    report(LEVEL_ERROR, EXIT_INVALID, "node.arity", w, "Scan has %d inputs, but num_scan_inputs is %lld", n->nin, (long long)count->i);
  for (int k = 0; k < n->nregion; k++) {
    const Graph *r = n->region[k];
    int nin = n->op->id == OP_If ? 0 : n->op->id == OP_Loop || n->op->id == OP_Scan || n->op->id == OP_SequenceMap ? n->nin : r->nin;
    int nout = n->op->id == OP_Loop                                                        ? n->nout + 1
               : n->op->id == OP_If || n->op->id == OP_Scan || n->op->id == OP_SequenceMap ? n->nout
                                                                                           : r->nout;
    if (r->nin != nin || r->nout < nout)
      report(LEVEL_ERROR, EXIT_INVALID, "region.arity", w, "the body %s has %d inputs and %d outputs where %d and %d are needed", r->name,
             r->nin, r->nout, nin, nout);
  }
}

// Outputs of If, Scan and Loop that nobody names still are results, so that bodies and nodes agree in number.
static int result_count(const Scope *s, const Onnx__NodeProto *p, const Op *op, int n) {
  static const char *const body[] = {"then_branch", "body"};
  if (op->id != OP_If && op->id != OP_Loop && op->id != OP_Scan) return n;
  for (size_t k = 0; k < p->n_attribute; k++) {
    const Scope *at = s;
    const Onnx__AttributeProto *a = resolve_attr(&at, p->attribute[k]);
    if (!a || !a->g || !p->attribute[k]->name || strcmp(p->attribute[k]->name, body[op->id != OP_If])) continue;
    int made = (int)a->g->n_output - (op->id == OP_Loop);
    return made > n ? made : n;
  }
  return n;
}

// result NULL: the node was reported, its results stand for anything.
static void bind_results(Scope *s, const Onnx__NodeProto *p, Value **result, int nout, const Where *w) {
  for (size_t k = 0; k < p->n_output; k++) {
    if (!*p->output[k]) continue;
    Value *v = !result ? poison() : (int)k < nout ? result[k] : NULL;
    if (!v) continue;
    if (v->def && !v->name)
      v->name = s->function ? sym_fmt("%s/%s", s->call->name && *s->call->name ? s->call->name : s->function->name, p->output[k])
                            : sym(p->output[k]);
    define_value(s, p->output[k], v, w);
  }
}

static void add_node(Importer *im, Scope *s, const Onnx__NodeProto *p, const Op *op, int opset, int index, const Where *w) {
  Graph *g = s->graph;
  Value **in = operands(s, p, w);
  int nin = count_operands(in, p->n_input), named = count_results(p), nout = result_count(s, p, op, named);
  Node *before = g->last, *n = graph_node(g, NULL, op->id, NULL, nin, in, nout);
  n->name = p->name && *p->name ? sym(p->name) : NULL;
  n->index = s->site ? w->node_index : index;
  if (op->id == OP_Loop && nin < 2) node_set_in(n, 1, NULL); // so that operands and inputs of the body agree in number
  for (int k = 0; k < named; k++)
    if (!*p->output[k] && op->family != FAMILY_REGION) n->out[k] = NULL;
  set_attrs(im, s, n, p, w);
  set_regions(im, s, n, p, w);
  Value **result = NEWN(Value *, nout + 1);
  for (int k = 0; k < nout; k++) result[k] = n->out[k];
  if (opset < op->since || op->nold) upgrade(s, n, opset, result, w);
  for (Node *m = before ? before->next : g->first; m; m = m->next) {
    check_operands(m, w);
    check_attrs(m, m->op == op ? opset : NEWEST_OPSET, w);
    check_regions(m, w);
  }
  bind_results(s, p, result, nout, w);
}

void import_node(Importer *im, Scope *s, const Onnx__NodeProto *p, int index) {
  Where w = where_of(im, s, p, index);
  const char *domain = plain_domain(p->domain), *type = p->op_type ? p->op_type : "";
  Function *f = find_function(im, p);
  if (f) {
    inline_call(im, s, p, f, &w);
    return;
  }
  const Op *op = op_find(domain, type);
  w.opset = opset_of(s, domain);
  if (!op) {
    report(LEVEL_ERROR, EXIT_UNSUPPORTED, "op.unknown", &w, "operator %s%s%s %s", w.domain, *w.domain ? "." : "", w.op ? w.op : "",
           why_refused(domain, type));
    bind_results(s, p, NULL, 0, &w);
    return;
  }
  if (!w.opset && !*domain) report(LEVEL_ERROR, EXIT_INVALID, "model.opset", &w, "the model imports no opset for operator %s", type);
  if (op->id == OP_Constant) {
    Tensor *t = constant_value(im, s, p, &w);
    Value *v = t ? graph_const(s->graph, p->n_output ? sym(p->output[0]) : NULL, t) : NULL;
    bind_results(s, p, v ? &v : NULL, 1, &w);
    return;
  }
  add_node(im, s, p, op, w.opset ? w.opset : op->since, index, &w);
}

void import_nodes(Importer *im, Scope *s, Onnx__NodeProto **node, size_t n, const Where *graph) {
  int *order = sort_nodes(node, n, graph);
  for (size_t k = 0; k < n; k++) import_node(im, s, node[order[k]], order[k]);
}

/* ---- graphs ---- */

static void add_initializers(Importer *im, Scope *s, const Onnx__GraphProto *p, const Where *w) {
  for (size_t k = 0; k < p->n_initializer; k++) {
    const char *name = p->initializer[k]->name ? p->initializer[k]->name : "";
    define_value(s, name, graph_const(s->graph, sym(name), import_tensor(im, p->initializer[k], w)), w);
  }
  for (size_t k = 0; k < p->n_sparse_initializer; k++) {
    const Onnx__TensorProto *v = p->sparse_initializer[k]->values;
    const char *name = v && v->name ? v->name : "";
    define_value(s, name, graph_const(s->graph, sym(name), import_sparse(im, p->sparse_initializer[k], w)), w);
  }
}

// An input with an initializer of its name is a constant: its default is the only value it has here.
static void add_inputs(Importer *im, Scope *s, const Onnx__GraphProto *p, const Where *w) {
  Map seen = {0};
  for (size_t k = 0; k < p->n_input; k++) {
    const char *name = p->input[k]->name ? p->input[k]->name : "";
    bool region = s->graph->parent != NULL;
    if (!*name) report(LEVEL_ERROR, EXIT_INVALID, "graph.input", w, "input %zu has no name", k);
    if (map_get(&seen, sym(name))) report(LEVEL_ERROR, EXIT_INVALID, "graph.duplicate", w, "two inputs are named '%s'", name);
    map_put(&seen, sym(name), s);
    if (map_get(&s->value, sym(name))) continue;
    const Type *type = region ? NULL : import_type(im, p->input[k]->type, sym(name), w);
    if (!region && !type) report(LEVEL_ERROR, EXIT_INVALID, "graph.input", w, "input '%s' has no type", name);
    define_value(s, name, graph_input(s->graph, sym(name), type), w);
  }
}

static void add_outputs(Scope *s, const Onnx__GraphProto *p, const Where *w) {
  Graph *g = s->graph;
  for (size_t k = 0; k < p->n_output; k++) {
    const char *name = p->output[k]->name ? p->output[k]->name : "";
    Value *v = find_value(s, name);
    if (!v) {
      report(LEVEL_ERROR, EXIT_INVALID, "graph.undefined", w, "output '%s' is never made", name);
      v = poison();
    }
    graph_output(g, v);
    g->out_name[g->nout - 1] = sym(name);
  }
}

static void remember_info(Scope *s, Onnx__ValueInfoProto **v, size_t n) {
  for (size_t k = 0; k < n; k++)
    if (v[k]->name) map_put(&s->info, sym(v[k]->name), v[k]);
}

static void fill_graph(Importer *im, Scope *s, const Onnx__GraphProto *p, const Where *w) {
  remember_info(s, p->value_info, p->n_value_info);
  remember_info(s, p->output, p->n_output);
  remember_info(s, p->input, p->n_input);
  add_initializers(im, s, p, w);
  add_inputs(im, s, p, w);
  import_nodes(im, s, p->node, p->n_node, w);
  add_outputs(s, p, w);
}

Graph *import_region(Importer *im, const Scope *outer, const Onnx__GraphProto *p, Sym name, const Where *w) {
  Scope s = {.outer = outer, .graph = graph_new(name, outer->graph), .opset = outer->opset, .nopset = outer->nopset};
  s.site = outer->site;
  fill_graph(im, &s, p, w);
  return s.graph;
}

/* ---- models ---- */

static void *allocate(void *u, size_t n) {
  (void)u;
  return mem(n);
}
static void release(void *u, void *p) {
  (void)u;
  (void)p;
}

static void check_model(Importer *im) {
  const Onnx__ModelProto *m = im->model;
  Where w = {.file = im->file, .node_index = -1};
  if (!m->has_ir_version || m->ir_version < 1) fail(EXIT_INVALID, "model.ir", &w, "the model has no IR version");
  if (m->ir_version > NEWEST_IR)
    fail(EXIT_UNSUPPORTED, "model.ir", &w, "the model has IR version %lld; the newest known one is %d", (long long)m->ir_version,
         NEWEST_IR);
  if (!m->graph) fail(EXIT_INVALID, "model.graph", &w, "the model has no graph");
  if (!m->n_opset_import && m->ir_version >= 3) fail(EXIT_INVALID, "model.opset", &w, "the model imports no opset");
  check_opsets(im, m->opset_import, m->n_opset_import);
  for (size_t k = 0; k < m->n_functions; k++) check_opsets(im, m->functions[k]->opset_import, m->functions[k]->n_opset_import);
}

static void add_provenance(Graph *g, const Onnx__ModelProto *m) {
  int cap = 0;
  const char *version = m->producer_version;
  if (m->producer_name) g->producer = sym_fmt("%s%s%s", m->producer_name, version && *version ? " " : "", version ? version : "");
  g->ir_version = m->ir_version;
  for (size_t k = 0; k < m->n_opset_import; k++)
    PUSH(g->opset, g->nopset, cap, (struct Opset){sym(plain_domain(m->opset_import[k]->domain)), m->opset_import[k]->version});
}

static Graph *import_model(Importer *im) {
  static const ImportOptions none;
  if (!im->options) im->options = &none;
  Wire wire = scan_model(im->bytes, im->n, im->file);
  ProtobufCAllocator arena = {.alloc = allocate, .free = release};
  im->model = onnx__model_proto__unpack(&arena, wire.n, wire.p);
  Where w = {.file = im->file, .node_index = -1};
  if (!im->model) fail(EXIT_INVALID, "wire.malformed", &w, "the file is no ONNX model");
  check_model(im);
  collect_functions(im);
  const Onnx__GraphProto *p = im->model->graph;
  Scope s = {.graph = graph_new(p->name && *p->name ? sym(p->name) : sym("main"), NULL)};
  Onnx__OperatorSetIdProto first = ONNX__OPERATOR_SET_ID_PROTO__INIT, *only = &first; // IR 1 and 2 knew one opset only
  first.version = 1;
  s.opset = im->model->n_opset_import ? im->model->opset_import : &only;
  s.nopset = im->model->n_opset_import ? im->model->n_opset_import : 1;
  add_provenance(s.graph, im->model);
  fill_graph(im, &s, p, &w);
  check_reports();
  return s.graph;
}

Graph *import_bytes(const void *bytes, size_t n, const char *name, const char *dir, const ImportOptions *o) {
  Importer *im = NEW(Importer);
  *im = (Importer){.file = name, .bytes = bytes, .n = n, .dir = dir, .options = o};
  return import_model(im);
}

static void *mapped;
static size_t mapped_size;
static void unmap(void) {
  if (mapped) munmap(mapped, mapped_size);
  mapped = NULL;
}

Graph *import_file(const char *path, const ImportOptions *o) {
  struct stat st;
  Where w = {.file = path, .node_index = -1};
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) fail(EXIT_IO, "io.open", &w, "cannot read %s: %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode)) fail(EXIT_IO, "io.regular", &w, "%s is not a regular file", path);
  unmap();
  at_reset(unmap);
  if (st.st_size) {
    mapped_size = (size_t)st.st_size;
    mapped = mmap(NULL, mapped_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) mapped = NULL;
    if (!mapped) fail(EXIT_IO, "io.map", &w, "cannot map %s: %s", path, strerror(errno));
  }
  close(fd);
  const char *slash = strrchr(path, '/');
  char *dir = slash ? fmt("%.*s", (int)(slash - path + (slash == path)), path) : ".";
  return import_bytes(st.st_size ? mapped : "", (size_t)st.st_size, path, dir, o);
}
