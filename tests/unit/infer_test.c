// infer_test.c - inference on small graphs: what shapes, values, facts and regions come out. The op rules as a whole are compared with ONNX
// Runtime by tests/infer.py.
#include "ir/graph.h"
#include "passes/infer.h"
#include "passes/passes.h"
#include <setjmp.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#undef fail

static const Diagnostic *last;
static void keep(const Diagnostic *d) { last = d; }
static Graph *g;
static int setup(void **state) {
  (void)state;
  base_reset();
  last = NULL;
  diagnostic_sink = keep;
  g = graph_new(sym("main"), NULL);
  return 0;
}

static Value *input_of(Graph *in, const char *name, const char *type) {
  const Type *t = type_parse(&type);
  assert_non_null(t);
  return graph_input(in, sym(name), t);
}
static Value *input(const char *name, const char *type) { return input_of(g, name, type); }
static Value *ints(int n, const int64_t *v) { return graph_const_i64(g, 1, n, v); }
#define INTS(...) ints((int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})
static Value *scalar(int64_t v) { return graph_const_i64(g, 0, 1, &v); }

static Value *op_in(Graph *in, OpId op, const char *name, int nin, Value *const *x) {
  Value *v = graph_op(in, NULL, op, NULL, nin, x);
  v->name = sym(name);
  v->def->name = sym(name);
  return v;
}
static Value *op(OpId id, const char *name, int nin, Value *const *x) { return op_in(g, id, name, nin, x); }

static void infer(void *u) { pass_infer(u); }
static void check(Value *v, const char *type) { assert_string_equal(type_str(v->type), type); }
static void ok(void) { assert_int_equal(protect(infer, g), EXIT_OK); }
static void check_elem(Value *v, int i, const char *text) {
  assert_true(v->elem && (v->splat || i < v->nelem));
  assert_string_equal(ix_str(v->elem[v->splat ? 0 : i]), text);
}

static void shapes_carry_values(void **state) {
  (void)state;
  Value *x = input("x", "f32[N,S,768]"), *s = op(OP_Shape, "s", VALUES(x)), *n = op(OP_Gather, "n", VALUES(s, INTS(0)));
  Value *t = op(OP_Concat, "t", VALUES(n, INTS(-1, 12, 64)));
  node_set_int(t->def, "axis", 0);
  Value *y = op(OP_Reshape, "y", VALUES(x, t));
  Value *two = op(OP_Mul, "two", VALUES(s, INTS(1, 2, 1)));
  Value *z = op(OP_Expand, "z", VALUES(graph_const_float(g, DT_F32, 1), two));
  ok();
  check(s, "i64[3]");
  check_elem(s, 1, "S");
  check(y, "f32[N,S,12,64]");
  check(z, "f32[N,2*S,768]");
  assert_int_equal(inferred.nrequired, 0);
}

// Where(Equal(shape, -1), ..) as exporters write Expand.
static void ranges_decide_selects(void **state) {
  (void)state;
  Value *x = input("x", "f32[N,1]"), *s = op(OP_Shape, "s", VALUES(x)), *ones = op(OP_ConstantOfShape, "ones", VALUES(INTS(2)));
  Tensor *one = tensor_new(DT_I64, 1, (int64_t[]){1}, NULL);
  tensor_set_int(one, 0, 1);
  node_set(ones->def, (Attr){.name = sym("value"), .kind = ATTR_TENSOR, .t = one});
  Value *minus = op(OP_Mul, "minus", VALUES(ones, scalar(-1))), *eq = op(OP_Equal, "eq", VALUES(s, minus));
  Value *w = op(OP_Where, "w", VALUES(eq, ones, s)), *y = op(OP_Expand, "y", VALUES(x, w));
  ok();
  check(y, "f32[N,1]");
  assert_int_equal(inferred.nloaded, 0);
}

static void slices_clamp(void **state) {
  (void)state;
  Value *x = input("x", "f32[N,100]"), *y = op(OP_Slice, "y", VALUES(x, INTS(2), INTS(INT64_MAX), INTS(0)));
  Value *z = op(OP_Slice, "z", VALUES(x, INTS(-3), INTS(-1), INTS(1))),
        *r = op(OP_Slice, "r", VALUES(x, INTS(-1), INTS(INT64_MIN), INTS(1), INTS(-1)));
  Value *odd = op(OP_Slice, "odd", VALUES(x, INTS(1), INTS(90), INTS(1), INTS(2)));
  ok();
  check(y, "f32[max(0, N - 2),100]");
  check(z, "f32[N,2]");
  check(r, "f32[N,100]");
  check(odd, "f32[N,45]");
}

static void facts_become_entry_checks(void **state) {
  (void)state;
  Value *a = input("a", "f32[M,8]"), *b = input("b", "f32[K,5]"), *p = op(OP_MatMul, "p", VALUES(a, b));
  assert_int_equal(protect(infer, g), EXIT_OK);
  check(p, "f32[M,5]");
  assert_int_equal(inferred.nrequired, 1);
  assert_non_null(strstr(inferred.required[0].text, "needed by MatMul 'p'"));
  ix_is_atom(ix_sym(sym("K"), 0, IX_DIM_MAX))->val = 8;
  assert_int_equal(ix_eval(inferred.required[0].expr), 0);
  ix_is_atom(ix_sym(sym("K"), 0, IX_DIM_MAX))->val = 9;
  assert_true(ix_eval(inferred.required[0].expr) < 0);
}

// A position table of 512 rows: what is found at the last node bounds the first.
static void facts_narrow_ranges(void **state) {
  (void)state;
  Value *x = input("x", "f32[seq,4]"), *table = input("table", "f32[512,4]"),
        *len = op(OP_Gather, "len", VALUES(op(OP_Shape, "s", VALUES(x)), INTS(0)));
  Value *pos = op(OP_Slice, "pos", VALUES(table, INTS(0), len)), *y = op(OP_Add, "y", VALUES(x, pos));
  ok();
  check(y, "f32[seq,4]");
  assert_int_equal(ix_upper(x->type->dim[0]), 512);
  assert_int_equal(inferred.nrequired, 1);
}

static void contradictions_fail(void **state) {
  (void)state;
  op(OP_MatMul, "p", VALUES(input("a", "f32[2,3]"), input("b", "f32[4,5]")));
  assert_int_equal(protect(infer, g), EXIT_INVALID);
  assert_string_equal(last->code, "shape.mismatch");
  assert_string_equal(last->where.node, "p");
}

static void unknown_ranks_are_named(void **state) {
  (void)state;
  op(OP_Relu, "after", VALUES(op(OP_Reshape, "r", VALUES(input("x", "f32[N]"), input("shape", "i64[K]")))));
  assert_int_equal(protect(infer, g), EXIT_UNSUPPORTED);
  assert_string_equal(last->code, "shape.rank");
  assert_string_equal(last->where.node, "r"); // the cause, not what follows
  assert_int_equal(reported(LEVEL_ERROR), 1);
}

static void broadcasts_may_stay_open(void **state) {
  (void)state;
  Value *a = input("a", "f32[A]"), *b = input("b", "f32[B]"), *y = op(OP_Add, "y", VALUES(a, b));
  Value *three = op(OP_Add, "three", VALUES(a, input("c", "f32[3]")));
  ok();
  assert_int_equal(ix_is_atom(y->type->dim[0])->kind, ATOM_BCAST);
  check(three, "f32[3]");
  assert_int_equal(inferred.nrequired, 2);
  Atom *A = ix_is_atom(ix_sym(sym("A"), 0, IX_DIM_MAX)), *B = ix_is_atom(ix_sym(sym("B"), 0, IX_DIM_MAX));
  static const int64_t legal[][2] = {{1, 7}, {7, 1}, {7, 7}, {1, 0}, {0, 1}, {0, 0}}, wrong[][2] = {{2, 3}, {0, 2}, {3, 0}};
  for (size_t i = 0; i < sizeof legal / sizeof *legal; i++) {
    A->val = legal[i][0], B->val = legal[i][1];
    assert_true(ix_eval(inferred.required[0].expr) >= 0);
    assert_int_equal(ix_eval(y->type->dim[0]), A->val == 1 ? B->val : A->val);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    A->val = wrong[i][0], B->val = wrong[i][1];
    assert_true(ix_eval(inferred.required[0].expr) < 0);
  }
}

static void data_dependent_sizes_get_symbols(void **state) {
  (void)state;
  Value *x = input("x", "f32[N,4]"), *nz = op(OP_NonZero, "nz", VALUES(x)), *k = input("k", "i64[1]"),
        *top = op(OP_TopK, "top", VALUES(x, k));
  ok();
  check(nz, "i64[2,nz.1]");
  check(top, "f32[N,\"k[0]\"]");
  assert_int_equal(inferred.nfresh, 1);
  assert_ptr_equal(inferred.fresh[0].value, nz);
  assert_int_equal(inferred.fresh[0].axis, 1);
  assert_int_equal(inferred.nloaded, 1);
  assert_ptr_equal(inferred.loaded[0].value, k);
  int count = inferred.nrequired;
  pass_infer(g); // again: the same names, no new requirement
  check(nz, "i64[2,nz.1]");
  assert_int_equal(inferred.nrequired, count);
}

// A target shape given at run time: 0 copies, -1 is the rest.
static void reshape_at_run_time(void **state) {
  (void)state;
  Value *x = input("x", "f32[2,6]"), *t = input("t", "i64[2]"), *y = op(OP_Reshape, "y", VALUES(x, t));
  ok();
  static const int64_t cases[][4] = {{3, 4, 3, 4}, {-1, 3, 4, 3}, {0, -1, 2, 6}, {12, 1, 12, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int k = 0; k < 2; k++) ix_is_atom(t->elem[k])->val = cases[i][k];
    for (int k = 0; k < 2; k++) assert_int_equal(ix_eval(y->type->dim[k]), cases[i][2 + k]);
  }
}

static void float_sizes(void **state) {
  (void)state;
  Value *x = input("x", "f32[1,3,H,W]"), *scales = graph_const(g, NULL, tensor_new(DT_F32, 1, (int64_t[]){4}, NULL));
  for (int i = 0; i < 4; i++) tensor_set_float(scales->data, i, i < 2 ? 1 : i == 2 ? 2 : 0.7);
  Value *y = op(OP_Resize, "y", VALUES(x, NULL, scales));
  ok();
  assert_string_equal(ix_str(y->type->dim[2]), "2*H");
  ix_is_atom(x->type->dim[3])->val = 10;
  assert_int_equal(ix_eval(y->type->dim[3]), 7); // floor(10 * 0.7f) in f32
}

static Graph *region(Node *n, const char *name) {
  Graph *r = graph_new(sym(name), n->graph);
  node_region(n, r);
  return r;
}

static void branches_merge(void **state) {
  (void)state;
  Value *x = input("x", "f32[N,4]"), *c = input("c", "bool[]"), *v = op(OP_If, "v", VALUES(c));
  Graph *a = region(v->def, "then"), *b = region(v->def, "else");
  graph_output(a, op_in(a, OP_Slice, "half", VALUES(x, INTS(0), INTS(5))));
  graph_output(b, op_in(b, OP_Relu, "all", VALUES(x)));
  ok();
  check(v, "f32[v.0,4]");
  assert_int_equal(inferred.nfresh, 1);
}

static void facts_stay_inside(void **state) {
  (void)state;
  Value *x = input("x", "f32[N]"), *c = input("c", "bool[]"), *v = op(OP_If, "v", VALUES(c));
  Graph *a = region(v->def, "then"), *b = region(v->def, "else");
  graph_output(a, op_in(a, OP_Reshape, "ten", VALUES(x, INTS(2, 5))));
  graph_output(b, op_in(b, OP_Reshape, "two", VALUES(x, INTS(2, 5))));
  Value *y = op(OP_Relu, "y", VALUES(x));
  ok();
  check(y, "f32[N]"); // N == 10 holds only in the branches
  check(v, "f32[2,5]");
  assert_int_equal(inferred.nrequired, 2);
  assert_ptr_equal(inferred.required[0].graph, a);
}

static Value *loop(Value *trips, Value *state, Graph **body) {
  Value *v = graph_node(g, NULL, OP_Loop, NULL, 3, (Value *[]){trips, NULL, state}, 2)->out[0];
  *body = region(v->def, "body");
  input_of(*body, "i", "i64[]");
  input_of(*body, "cond", "bool[]");
  input_of(*body, "carry", "f32[*]");
  return v;
}

static void loops_carry_dims(void **state) {
  (void)state;
  Graph *b;
  Value *m = input("m", "i64[]"), *x = input("x", "f32[N]"), *grown = loop(m, x, &b), *each = grown->def->out[1];
  grown->name = sym("grown"), each->name = sym("each");
  Value *more = op_in(b, OP_Concat, "more", VALUES(b->in[2], graph_const(b, NULL, tensor_new(DT_F32, 1, (int64_t[]){1}, NULL))));
  node_set_int(more->def, "axis", 0);
  graph_output(b, b->in[1]);
  graph_output(b, more);
  graph_output(b, op_in(b, OP_ReduceSum, "sum", VALUES(more, NULL)));
  node_set_int(b->out[2]->def, "keepdims", 0);
  ok();
  check(b->in[2], "f32[carry.0]");
  check(grown, "f32[grown.0]");
  assert_int_equal(each->type->rank, 1);
  ix_is_atom(m->elem[0])->val = 5;
  assert_int_equal(ix_eval(each->type->dim[0]), 5);
  ix_is_atom(m->elem[0])->val = -2;
  assert_int_equal(ix_eval(each->type->dim[0]), 0);
}

static void loops_keep_what_stays(void **state) {
  (void)state;
  Graph *b;
  Value *x = input("x", "f32[N]"), *v = loop(scalar(7), x, &b);
  graph_output(b, b->in[1]);
  graph_output(b, op_in(b, OP_Relu, "r", VALUES(b->in[2])));
  graph_output(b, op_in(b, OP_Exp, "e", VALUES(b->in[2])));
  ok();
  check(v, "f32[N]");
  check(v->def->out[1], "f32[7,N]");
  assert_int_equal(inferred.nfresh, 0);
}

static void sequences_know_their_elements(void **state) {
  (void)state;
  Value *x = input("x", "f32[N,4]"), *y = input("y", "f32[2,4]"), *s = op(OP_SequenceConstruct, "s", VALUES(x, y));
  Value *at = op(OP_SequenceAt, "at", VALUES(s, scalar(-1))), *len = op(OP_SequenceLength, "len", VALUES(s));
  Value *joined = op(OP_ConcatFromSequence, "joined", VALUES(s));
  node_set_int(joined->def, "axis", 0);
  ok();
  check(s, "seq(f32[?,4])");
  check(at, "f32[2,4]");
  check_elem(len, 0, "2");
  check(joined, "f32[N + 2,4]");
}

static void large_sizes_get_names(void **state) {
  (void)state;
  Value *x = input("x", "f32[N]"), *s = op(OP_Shape, "s", VALUES(x)), *e = s;
  for (int i = 2; i < 14; i++) {
    e = op(OP_Mod, fmt("m%d", i), VALUES(op(OP_Add, fmt("a%d", i), VALUES(e, s)), INTS(i * 7 + 1)));
    e = op(OP_Mul, fmt("p%d", i), VALUES(e, s));
  }
  Value *y = op(OP_ConstantOfShape, "y", VALUES(e));
  ok();
  assert_true(ix_size(y->type->dim[0]) <= 40);
  int64_t want = 100;
  for (int i = 2; i < 14; i++) want = (want + 100) % (i * 7 + 1) * 100;
  ix_is_atom(x->type->dim[0])->val = 100;
  assert_int_equal(ix_eval(y->type->dim[0]), want);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(shapes_carry_values, setup),
      cmocka_unit_test_setup(ranges_decide_selects, setup),
      cmocka_unit_test_setup(slices_clamp, setup),
      cmocka_unit_test_setup(facts_become_entry_checks, setup),
      cmocka_unit_test_setup(facts_narrow_ranges, setup),
      cmocka_unit_test_setup(contradictions_fail, setup),
      cmocka_unit_test_setup(unknown_ranks_are_named, setup),
      cmocka_unit_test_setup(broadcasts_may_stay_open, setup),
      cmocka_unit_test_setup(data_dependent_sizes_get_symbols, setup),
      cmocka_unit_test_setup(reshape_at_run_time, setup),
      cmocka_unit_test_setup(float_sizes, setup),
      cmocka_unit_test_setup(branches_merge, setup),
      cmocka_unit_test_setup(facts_stay_inside, setup),
      cmocka_unit_test_setup(loops_carry_dims, setup),
      cmocka_unit_test_setup(loops_keep_what_stays, setup),
      cmocka_unit_test_setup(sequences_know_their_elements, setup),
      cmocka_unit_test_setup(large_sizes_get_names, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
