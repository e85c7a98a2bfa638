// expand_rnn.c - RNN, GRU, LSTM: the product with the input is hoisted over all steps, the recurrence is a Scan.
//
// The reverse direction scans backwards; bidirectional is two scans, joined. With sequence_lens every step beyond a row's length leaves the
// state as it is and writes zeros, which is right in both directions: the backward walk starts at len-1 then. layout=1 is transposes around
// it.
#include "passes/expand.h"
#include "passes/infer.h"
#include <math.h>
#include <string.h>

typedef struct Act {
  const char *name;
  double alpha, beta; // NAN: the activation's own default
} Act;

typedef struct Rnn { // one direction
  int gates, nstate;
  Value *x;       // [T,B,gates*H]: X W^T and the biases that may be hoisted
  Value *r;       // [H,gates*H]: R^T
  Value *rb_h;    // GRU with linear_before_reset: the recurrent bias of h
  Value *peep[3]; // LSTM: i, o, f; NULL without
  Value *init[2]; // [B,H]
  Value *mask;    // bool [T,B,1], or NULL
  Act act[3];
  double clip; // 0: none
  bool backward, coupled, reset_after;
  bool rounded; // the operands of products are first rounded to 8 bits, dynamically
} Rnn;

// x on the grid that DynamicQuantizeLinear finds for it
static Value *eight_bits(const B *b, Value *x) {
  Node *q = start(b, OP_DynamicQuantizeLinear, VALUES(x), 3);
  finish(q);
  return op3(b, OP_DequantizeLinear, q->out[0], q->out[1], q->out[2]);
}

/* ---- one step ---- */
static Value *gate(const B *b, const Rnn *r, Value *z, int act) {
  if (r->clip > 0) z = op3(b, OP_Clip, z, num_like(b, z, -r->clip), num_like(b, z, r->clip));
  return activate(b, z, r->act[act].name, r->act[act].alpha, r->act[act].beta);
}

static Value *one_minus(const B *b, Value *x) { return sub(b, num_like(b, x, 1), x); }

static void step_rnn(const B *b, const Rnn *r, Value *xt, Value **s) { s[0] = gate(b, r, add(b, xt, matmul(b, s[0], r->r)), 0); }

static void step_gru(const B *b, const Rnn *r, Value *xt, Value **s) {
  Value *x[3], *h[3], *hidden = s[0], *rh = NULL;
  split(b, xt, -1, 3, x);
  if (r->reset_after) {
    split(b, matmul(b, hidden, r->r), -1, 3, h);
    rh = r->rb_h ? add(b, h[2], r->rb_h) : h[2];
  } else {
    Value *part[3];
    split(b, r->r, -1, 3, part);
    h[0] = matmul(b, hidden, part[0]);
    h[1] = matmul(b, hidden, part[1]);
    h[2] = part[2];
  }
  Value *z = gate(b, r, add(b, x[0], h[0]), 0), *reset = gate(b, r, add(b, x[1], h[1]), 0);
  rh = r->reset_after ? mul(b, reset, rh) : matmul(b, mul(b, reset, hidden), h[2]);
  Value *cand = gate(b, r, add(b, x[2], rh), 1);
  s[0] = add(b, mul(b, one_minus(b, z), cand), mul(b, z, hidden));
}

static Value *peep(const B *b, Value *z, Value *p, Value *c) { return p ? add(b, z, mul(b, p, c)) : z; }

static void step_lstm(const B *b, const Rnn *r, Value *xt, Value **s) {
  Value *z[4], *c = s[1], *h = r->rounded ? eight_bits(b, s[0]) : s[0]; // z: i, o, f, c
  split(b, add(b, xt, matmul(b, h, r->r)), -1, 4, z);
  Value *i = gate(b, r, peep(b, z[0], r->peep[0], c), 0);
  Value *f = r->coupled ? one_minus(b, i) : gate(b, r, peep(b, z[2], r->peep[2], c), 0);
  s[1] = add(b, mul(b, f, c), mul(b, i, gate(b, r, z[3], 1)));
  Value *o = gate(b, r, peep(b, z[1], r->peep[1], s[1]), 0);
  s[0] = mul(b, o, activate(b, s[1], r->act[2].name, r->act[2].alpha, r->act[2].beta));
}

/* ---- the scan ---- */
static const Type *row_type(const Value *x) { return type_tensor(dtype(x), rank_of(x) - 1, x->type->dim + 1); }

static Graph *body(const B *b, const Rnn *r) {
  Graph *g = graph_new(sym("body"), b->g);
  B in_body = {g, NULL, b->like};
  const B *bb = &in_body;
  Value *old[2], *s[2];
  for (int i = 0; i < r->nstate; i++) s[i] = old[i] = graph_input(g, NULL, r->init[i]->type);
  Value *xt = graph_input(g, NULL, row_type(r->x)), *m = r->mask ? graph_input(g, NULL, row_type(r->mask)) : NULL;
  (r->gates == 1 ? step_rnn : r->gates == 3 ? step_gru : step_lstm)(bb, r, xt, s);
  Value *y = m ? where(bb, m, s[0], num_like(bb, s[0], 0)) : s[0];
  for (int i = 0; i < r->nstate; i++) graph_output(g, m ? where(bb, m, s[i], old[i]) : s[i]);
  graph_output(g, y);
  return g;
}

// -> the Scan node: final states, then all hidden states [T,B,H]
static Node *scan(const B *b, const Rnn *r) {
  Value *operand[4];
  int n = 0, nin = r->mask ? 2 : 1;
  for (int i = 0; i < r->nstate; i++) operand[n++] = r->init[i];
  operand[n++] = r->x;
  if (r->mask) operand[n++] = r->mask;
  Node *s = start(b, OP_Scan, n, operand, r->nstate + 1);
  node_set_int(s, "num_scan_inputs", nin);
  const int64_t back[] = {1, 1};
  if (r->backward) {
    node_set_ints(s, "scan_input_directions", nin, back);
    node_set_ints(s, "scan_output_directions", 1, back);
  }
  node_region(s, body(b, r));
  finish(s);
  return s;
}

/* ---- operands ---- */
static bool takes(const char *name, bool beta) { // which activations consume an entry of activation_alpha, activation_beta
  static const char *const alpha_only[] = {"leakyrelu", "thresholdedrelu", "elu"}, *const both[] = {"affine", "scaledtanh", "hardsigmoid"};
  for (int i = 0; i < 3; i++)
    if (!strcasecmp(name, both[i]) || (!beta && !strcasecmp(name, alpha_only[i]))) return true;
  return false;
}

// The activations of direction d of ndir: n of each, alpha and beta consumed in order by those that take them.
static void activations(const B *b, Rnn *r, int n, int d) {
  static const char *const standard[] = {"Sigmoid", "Tanh", "Tanh"};
  const Attr *names = attr_find(b->at, "activations"), *al = attr_find(b->at, "activation_alpha"),
             *be = attr_find(b->at, "activation_beta");
  bool given = names && names->kind == ATTR_STRINGS && names->n >= n * (d + 1);
  int ia = 0, ib = 0;
  for (int i = 0; i < n * (d + 1); i++) {
    const char *name = given ? sym_n(names->strings[i].p, names->strings[i].n) : n == 1 ? "Tanh" : standard[i % n];
    Act a = {name, NAN, NAN};
    if (given && takes(name, false) && al && ia < al->n) a.alpha = al->floats[ia++];
    if (given && takes(name, true) && be && ib < be->n) a.beta = be->floats[ib++];
    r->act[i % n] = a; // the last round is direction d
  }
}

static Value *bias_part(const B *b, Value *bias, int64_t h, int from, int to) { return slice(b, bias, 0, from * h, to * h); }

// What of the biases [Wb,Rb] can be added to X W^T once for all steps
static Value *hoisted_bias(const B *b, Rnn *r, Value *bias, int64_t h) {
  int g = r->gates;
  Value *wb = bias_part(b, bias, h, 0, g);
  if (!r->reset_after) return add(b, wb, bias_part(b, bias, h, g, 2 * g));
  r->rb_h = bias_part(b, bias, h, 5, 6);
  return concat(b, 0, VALUES(add(b, bias_part(b, bias, h, 0, 2), bias_part(b, bias, h, 3, 5)), bias_part(b, bias, h, 2, 3)));
}

static Rnn direction(const B *b, int gates, int d, bool backward, Value *x, Value *mask) {
  Rnn r = {.gates = gates, .nstate = gates == 4 ? 2 : 1, .backward = backward, .mask = mask};
  Value *rec = pick(b, in(b, 2), 0, d), *bias = in(b, 3) ? pick(b, in(b, 3), 0, d) : NULL;
  int64_t h = static_dim(b, rec, 1);
  bool batch_first = attr_int(b->at, "layout");
  r.reset_after = gates == 3 && attr_int(b->at, "linear_before_reset");
  r.coupled = gates == 4 && attr_int(b->at, "input_forget");
  r.clip = attr_has(b->at, "clip") ? attr_float(b->at, "clip") : 0;
  activations(b, &r, gates == 1 ? 1 : gates == 3 ? 2 : 3, d);
  r.r = transpose(b, rec, INTS(1, 0));
  r.x = matmul(b, x, transpose(b, pick(b, in(b, 1), 0, d), INTS(1, 0)));
  if (bias) r.x = add(b, r.x, hoisted_bias(b, &r, bias, h));
  for (int i = 0; i < r.nstate; i++) {
    Value *s = in(b, 5 + i);
    r.init[i] = s ? pick(b, s, batch_first ? 1 : 0, d) : zeros(b, dtype(x), join(b, VALUES(dim_of(b, x, 1), int1(b, h))));
  }
  if (gates == 4 && in(b, 7))
    for (int i = 0; i < 3; i++) r.peep[i] = slice(b, pick(b, in(b, 7), 0, d), 0, i * h, (i + 1) * h);
  return r;
}

// part[d] as one value with a new axis for the directions
static Value *stack(const B *b, int ndir, Value *const *part, int64_t axis) {
  Value *p[2];
  for (int d = 0; d < ndir; d++) p[d] = unsqueeze(b, part[d], 1, &axis);
  return ndir == 1 ? p[0] : concat(b, (int)axis, 2, p);
}

static void recurrent(const B *b, int gates, bool rounded) {
  Value *x = in(b, 0), *lens = in(b, 4), *mask = NULL, *part[3][2];
  bool batch_first = attr_int(b->at, "layout");
  bool both = attr_is(b->at, "direction", "bidirectional"), backward = attr_is(b->at, "direction", "reverse");
  int ndir = both ? 2 : 1, nstate = gates == 4 ? 2 : 1;
  if (batch_first) x = transpose(b, x, INTS(1, 0, 2));
  if (lens) {
    Value *t = unsqueeze(b, count_up(b, dim_of(b, x, 0)), INTS(1));
    mask = unsqueeze(b, op2(b, OP_Less, t, cast(b, lens, DT_I64)), INTS(2));
  }
  if (rounded) { // steps beyond every row's length have no say in the grid
    const int64_t rows = 1;
    Value *some = mask ? cast(b, reduce(b, OP_ReduceMax, cast(b, mask, DT_I32), 1, &rows, true), DT_BOOL) : NULL;
    x = eight_bits(b, some ? where(b, some, x, num_like(b, x, 0)) : x);
  }
  for (int d = 0; d < ndir; d++) {
    Rnn r = direction(b, gates, d, backward || d == 1, x, mask);
    r.rounded = rounded;
    Node *s = scan(b, &r);
    for (int i = 0; i <= nstate; i++) part[i][d] = s->out[i];
  }
  Value *y = stack(b, ndir, part[nstate], 1); // [T,D,B,H]
  give(b, 0, batch_first ? transpose(b, y, INTS(2, 0, 1, 3)) : y);
  for (int i = 0; i < nstate; i++) give(b, 1 + i, stack(b, ndir, part[i], batch_first ? 1 : 0));
}

void expand_rnn(const B *b) { recurrent(b, 1, false); }
void expand_gru(const B *b) { recurrent(b, 3, false); }
void expand_lstm(const B *b) { recurrent(b, 4, false); }

/* ---- DynamicQuantizeLSTM: W and R of [D,I,4H] (not transposed), one scale per direction or per column ---- */
static Value *eight_bit_weights(const B *b, int i, int scale, int zero) { // -> the float LSTM's [D,4H,I]
  Value *s = cast(b, in(b, scale), DT_F32), *w = cast(b, in(b, i), DT_I32), *z = cast(b, in(b, zero), DT_I32);
  int64_t axes[] = {1, 2};
  s = unsqueeze(b, s, rank_of(s) == 1 ? 2 : 1, axes);
  z = unsqueeze(b, z, rank_of(z) == 1 ? 2 : 1, axes);
  return swap_last(b, mul(b, cast(b, sub(b, w, z), DT_F32), s));
}

void expand_dynamic_quantize_lstm(const B *b) {
  Value *w = eight_bit_weights(b, 1, 8, 9), *r = eight_bit_weights(b, 2, 10, 11);
  Node *n = start(b, OP_LSTM, VALUES(in(b, 0), w, r, in(b, 3), in(b, 4), in(b, 5), in(b, 6), in(b, 7)), 3);
  copy_attrs(n, b->at, "activation_alpha activation_beta activations clip direction hidden_size input_forget");
  finish(n);
  for (int i = 0; i < 3; i++) give(b, i, n->out[i]);
  recurrent(&(B){b->g, n, b->like}, 4, true);
  node_remove(n);
}
