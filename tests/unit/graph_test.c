// graph_test.c - the op table, construction and rewriting of graphs, and their text.
#include "ir/graph.h"
#include <setjmp.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

static const Diagnostic *last;
static void keep(const Diagnostic *d) { last = d; }
static int setup(void **state) {
  (void)state;
  base_reset();
  last = NULL;
  diagnostic_sink = keep;
  return 0;
}

/* ---- the table ---- */

static void rows_are_consistent(void **state) {
  (void)state;
  for (int id = 1; id < OP_COUNT; id++) {
    const Op *op = &ops[id];
    assert_ptr_equal(op_find(op->domain, op->name), op);
    assert_non_null(strstr(op->sig, "->"));
    assert_true(op->since >= 1 && op->how[0] && op->shape[0]);
    assert_true(op->nin < 0 || op->nin_min <= op->nin);
    for (int k = 1; k < op->nold; k++) assert_true(op->old[k - 1].version < op->old[k].version);
    for (int k = 0; k < op->nattr; k++) assert_ptr_equal(op_attr(op, op->attr[k].name), &op->attr[k]); // no name twice, in a group neither
  }
}

static void every_default_can_be_read(void **state) {
  (void)state;
  Graph *g = graph_new(sym("g"), NULL);
  for (int id = 1; id < OP_COUNT; id++) {
    Node *n = graph_node(g, NULL, (OpId)id, NULL, 0, NULL, 0);
    for (int k = 0; k < n->op->nattr; k++) {
      const AttrRow *row = &n->op->attr[k];
      bool given = *row->dflt && strcmp(row->dflt, "!");
      assert_int_equal(attr_find(n, row->name) != NULL, given);
    }
  }
}

static void operands_of_signatures(void **state) {
  (void)state;
  OpOperand o = op_operand(&ops[OP_Loop], false, 0);
  assert_int_equal(o.letter, 'I');
  assert_true(o.optional);
  o = op_operand(&ops[OP_Loop], false, 7);
  assert_true(o.letter == 'x' && o.variadic);
  assert_false(op_operand(&ops[OP_Concat], false, 0).optional);
  assert_true(op_operand(&ops[OP_Concat], false, 1).optional);
  assert_int_equal(op_operand(&ops[OP_Relu], true, 1).letter, 0);
  assert_int_equal(op_operand(&ops[OP_Pow], false, 1).digit, '2');
  assert_string_equal(ops[OP_ms_Gelu].name, "Gelu");
  assert_ptr_equal(op_find("ai.onnx", "Gelu"), &ops[OP_Gelu]);
}

/* ---- construction ---- */

static Value *input(Graph *g, const char *name) { return graph_input(g, sym(name), type_tensor(DT_F32, 1, (IExpr *[]){ix(4)})); }

static void replace_reaches_regions_and_outputs(void **state) {
  (void)state;
  Graph *g = graph_new(sym("g"), NULL);
  Value *c = input(g, "c"), *x = input(g, "x"), *y = graph_op(g, NULL, OP_Relu, NULL, VALUES(x));
  Node *branch = graph_node(g, NULL, OP_If, NULL, VALUES(c), 1);
  for (int k = 0; k < 2; k++) {
    Graph *r = graph_new(sym(k ? "else" : "then"), g);
    graph_output(r, k ? y : graph_op(r, NULL, OP_Neg, NULL, VALUES(y)));
    node_region(branch, r);
  }
  graph_output(g, branch->out[0]);
  graph_output(g, y);
  graph_verify(g, false);
  assert_true(graph_uses(branch->region[1], y));
  value_replace(y, x);
  assert_ptr_equal(branch->region[1]->out[0], x);
  assert_ptr_equal(branch->region[0]->first->in[0], x);
  assert_ptr_equal(g->out[1], x);
  assert_int_equal(y->nuser, 0);
  node_remove(y->def);
  graph_verify(g, false);
}

static Value *by_input(Value *v, void *u) { return v->name == sym("x") ? u : NULL; }

static void clone_and_inline(void **state) {
  (void)state;
  Graph *g = graph_new(sym("g"), NULL), *body = graph_new(sym("body"), g);
  Value *a = input(g, "a"), *x = input(body, "x");
  Value *sum = graph_op(body, NULL, OP_Add, NULL, VALUES(x, a));
  graph_output(body, graph_op(body, NULL, OP_Mul, NULL, VALUES(sum, sum)));
  Graph *copy = graph_clone(body, g, NULL, NULL);
  assert_int_equal(copy->nin, 1);
  assert_ptr_equal(copy->first->in[1], a);
  assert_ptr_not_equal(copy->first, body->first);
  Value *out[1];
  graph_inline(body, g, NULL, by_input, a, out);
  assert_ptr_equal(out[0]->def->graph, g);
  assert_ptr_equal(out[0]->def->prev->in[0], a);
  assert_int_equal(a->nuser, 1 + 1 + 2);
}

/* ---- text ---- */

static const char sample[] =
    "model \"test 1\" ir 8 opset \"\" 17, \"ai.onnx.ml\" 3\n"
    "const @w = f32[2] {0.5, -0}\n"
    "const @\"a b\" = i64[] {-9223372036854775808}\n"
    "const @0 = f16[3] {inf, 0x7e01, 6.1035156e-05}\n"
    "const @s = str[2] {\"\\xFF\\n\", \"\"}\n"
    "const @b = bool[2] {true, false}\n"
    "graph main(%x: f32[N,2], %\"7\": f32[N,2], %i: i64[]) -> (y: ?, _: f32[N,2]) where M, N in 1..64 {\n"
    "  %0 = Add(%x, @w) : f32[N,2] #0 \"add\"\n"
    "  %1, _ = TopK(%0, @\"a b\") {axis=1} : f32[N,M]\n"
    "  %y = Loop(_, _, %1, @0, @s, @b) : ? #3 body graph Loop_3.body(%n: i64[], %c: bool[], %v: ?) -> (_: bool[], _: ?) {\n"
    "    %2 = ai.onnx.ml.Scaler(%v) {offset=[1.0, 0.1, inf], scale=floats[]} : ? #0 \"s\" in \"elsewhere\"\n"
    "    return %c, %2\n"
    "  }\n"
    "  %3 = Resize(%\"7\", _, @w) {mode=\"li\\\"near\", value=i32[1] {4}, of=type seq(f32[?]), a=1e-05, b=0.1d} : ?\n"
    "  return %y, %0\n"
    "}\n";

static void text_comes_back(void **state) {
  (void)state;
  Text t = {0}, side = {0};
  Graph *g = graph_parse(sample, sizeof sample - 1, NULL, 0, "sample");
  graph_print(g, &t, &side);
  assert_string_equal(t.p, sample);
  assert_int_equal(side.n, 0);
  const Node *n = g->first;
  assert_int_equal(tensor_int(n->next->in[1]->data, 0), INT64_MIN);
  assert_string_equal(g->in[1]->name, "7");
  assert_null(n->next->out[1]);
}

static void large_constants_go_aside(void **state) {
  (void)state;
  int64_t dim[2] = {5, 20};
  Graph *g = graph_new(sym("g"), NULL);
  Tensor *t = tensor_new(DT_F32, 2, dim, NULL), *s = tensor_new(DT_STR, 2, dim, NEWN(Str, 100));
  for (int k = 0; k < 100; k++) {
    tensor_set_float(t, k, k);
    ((Str *)(uintptr_t)s->data)[k] = (Str){"a\0b", (size_t)k % 4};
  }
  graph_output(g, graph_const(g, sym("t"), t));
  graph_output(g, graph_const(g, sym("s"), s));
  Text text = {0}, side = {0}, text2 = {0}, side2 = {0};
  graph_print(g, &text, &side);
  Graph *back = graph_parse(text.p, text.n, side.p, side.n, "printed");
  graph_print(back, &text2, &side2);
  assert_string_equal(text.p, text2.p);
  assert_int_equal(side.n, side2.n);
  assert_memory_equal(side.p, side2.p, side.n);
  assert_float_equal(tensor_float(back->out[0]->data, 99), 99, 0);
}

static void equal_names_stay_apart(void **state) {
  (void)state;
  Graph *g = graph_new(sym("g"), NULL);
  Value *v = input(g, "x");
  for (int k = 0; k < 3; k++) (v = graph_op(g, NULL, OP_Relu, NULL, VALUES(v)))->name = sym(k == 1 ? "x.1" : "x");
  graph_output(g, v);
  Text a = {0}, b = {0}, side = {0};
  graph_print(g, &a, &side);
  graph_print(graph_parse(a.p, a.n, NULL, 0, "printed"), &b, &side);
  assert_string_equal(a.p, b.p);
}

static void parse_it(void *text) { graph_parse(text, strlen(text), NULL, 0, "bad"); }

static void malformed_text_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *text;
    Exit exit;
    int line;
  } bad[] = {
      {"", EXIT_INVALID, 1},
      {"graph (", EXIT_INVALID, 1},
      {"graph () -> () {\n  %1 = Relu(%0)\n  return\n}", EXIT_INVALID, 2},
      {"graph (%x: f32[2]) -> () {\n  %x = Relu(%x)\n  return\n}", EXIT_INVALID, 2},
      {"graph () -> (y: ?) {\n  return _\n}", EXIT_INVALID, 2},
      {"graph () -> () {\n\n  %1 = Nonsense()\n  return\n}", EXIT_UNSUPPORTED, 3},
      {"const @a = f32[65] {1}\ngraph () -> () {\n return }", EXIT_INVALID, 1},
      {"const @a = f32[2] data(0, 8)\ngraph () -> () {\n return }", EXIT_INVALID, 1},
      {"const @a = f32[2] {1, 2, 3}\n", EXIT_INVALID, 1},
      {"graph (%x: f32[3000000000000000000000]) -> () { return }", EXIT_INVALID, 1},
      {"graph () -> () { return } x", EXIT_INVALID, 1},
  };
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    assert_int_equal(protect(parse_it, (void *)(uintptr_t)bad[k].text), bad[k].exit);
    assert_non_null(last);
    assert_int_equal(last->where.line, bad[k].line);
    base_reset();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(rows_are_consistent, setup),       cmocka_unit_test_setup(every_default_can_be_read, setup),
      cmocka_unit_test_setup(operands_of_signatures, setup),    cmocka_unit_test_setup(replace_reaches_regions_and_outputs, setup),
      cmocka_unit_test_setup(clone_and_inline, setup),          cmocka_unit_test_setup(text_comes_back, setup),
      cmocka_unit_test_setup(large_constants_go_aside, setup),  cmocka_unit_test_setup(equal_names_stay_apart, setup),
      cmocka_unit_test_setup(malformed_text_is_refused, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
