// nest_order.c - Order: the indices of the greatest keys of each row, greatest first, equal ones in order. Keys are i32 or i64 and have
// the order of the values (expand_order.c makes them); a loop tree as text, rows in parallel.
//
// A row's candidates, those not below `least`, are gathered in order; up to 64 of them are ranked by comparing all with all, a vector at a
// time. More are sorted by their digits of 8 bits, least significant first, which keeps the order of equal keys; a digit that all have in
// common is skipped. `top` (the greatest key of each block of the row) spares looking at blocks that hold no candidate.
#include "passes/index.h"

// clang-format off
static const char order_text[] = KERNEL(
kernel k(in key: KEY[R,N] LEAST_IN TOP_IN, out at: i64[R,K], out last: KEY[R]) WHERE {
  SHARED
  for r: R par {
    OWN
    alloc n: i64[1] reg
    alloc total: i32[2] reg
    n[0] = 0l
    last[r] = LOWEST
    BLOCKS
    for i: N - B*W ordered {
      let to: 0..MOST = n[0]
      ks[ROW,0,to] = key[r,B*W + i]
      let beside: 0..MOST = n[0]
      is[ROW,0,beside] = ix.INDEX(B*W + i)
      accum add n[0] <- b2i.i64(LEAST <= key[r,B*W + i])
    }
    let few: 0..1 = n[0] <= 64l ? 1 : 0
    for small: few ordered {
      for pad: 16 ordered {
        let end: 0..ROOM = n[0]
        ks[ROW,0,end + pad] = LOWEST
      }
      alloc rank: i32[64] stack
      let vectors: 0..4 = shr(n[0] + 15l, 4l)
      for g: vectors ordered {
        alloc lane: i32[16] reg
        for v0: 16 vec { lane[v0] = 0 }
        let others: 0..64 = n[0]
        for c: others ordered {
          for v: 16 vec {
            let %0 = ks[ROW,0,16*g + v]
            let %1 = ks[ROW,0,c]
            accum add lane[v] <- b2i.i32(or(%0 < %1, and(%0 == %1, ix.i32(c) < ix.i32(16*g + v))))
          }
        }
        for v2: 16 vec { rank[16*g + v2] = lane[v2] }
      }
      let ranked: 0..64 = n[0]
      for m: ranked ordered {
        let place: 0..LAST limit K = rank[m]
        at[r,place]{if i2i.i64(rank[m]) < ix.i64(K)} = WIDE(is[ROW,0,m])
        last[r]{if i2i.i64(rank[m]) == ix.i64(K - 1)} = ks[ROW,0,m]
      }
    }
    let many: 0..1 = n[0] <= 64l ? 0 : 1
    for big: many ordered {
      alloc count: i32[DIGITS*256] stack
      alloc side: i32[1] reg
      for z: DIGITS*16 ordered { for v1: 16 vec { count[16*z + v1] = 0 } }
      let all: 0..ROOM = n[0]
      for e: all ordered {
        for d: DIGITS ordered unroll {
          let digit: 0..255 = and(ushr(xor(ks[ROW,0,e], GREATEST), ix.KEY(8*d)), ix.KEY(255))
          accum add count[256*d + digit] <- 1
        }
      }
      side[0] = 0
      for p: DIGITS ordered {
        let common: 0..255 = and(ushr(xor(ks[ROW,0,0], GREATEST), ix.KEY(8*p)), ix.KEY(255))
        let differ: 0..1 = i2i.i64(count[256*p + common]) == n[0] ? 0 : 1
        for pass: differ ordered {
          total[1] = 0
          for h: 256 ordered {
            total[0] = count[256*p + h]
            count[256*p + h] = total[1]
            accum add total[1] <- total[0]
          }
          let sorted: 0..ROOM = n[0]
          for f: sorted ordered {
            alloc one: KEY[1] reg
            alloc cell: i32[2] reg
            let from: 0..1 = side[0]
            one[0] = ks[ROW,from,f]
            cell[0] = TAKE(and(ushr(xor(one[0], GREATEST), ix.KEY(8*p)), ix.KEY(255)))
            let bin: 0..255 = cell[0]
            cell[1] = count[256*p + bin]
            let bin1: 0..255 = cell[0]
            count[256*p + bin1] = cell[1] + 1
            let side1: 0..1 = side[0]
            let to1: 0..MOST = cell[1]
            ks[ROW,1 - side1,to1] = one[0]
            let side2: 0..1 = side[0]
            let to2: 0..MOST = cell[1]
            is[ROW,1 - side2,to2] = is[ROW,side2,f]
          }
          side[0] = 1 - side[0]
        }
      }
      let found: 0..FULL limit K + 1 = n[0]
      for o: found ordered {
        let side3: 0..1 = side[0]
        at[r,o] = WIDE(is[ROW,side3,o])
      }
      let side4: 0..1 = side[0]
      let final: 0..MOST limit N = ix.i64(K - 1)
      last[r]{K - 1, if ix.i64(K) <= n[0]} = ks[ROW,side4,final]
    }
    let missing: 0..FULL = ix.i64(K) - n[0]
    for q: missing ordered {
      let behind: 0..LAST limit K = n[0]
      at[r,behind + q] = -1l
    }
  }
});
static const char blocks_text[] = KERNEL(
    for b: B ordered {
      let go: 0..W = LEAST <= top[r,b] ? W : 0
      for j: go ordered {
        let to0: 0..MOST = n[0]
        ks[ROW,0,to0] = key[r,b*W + j]
        let beside0: 0..MOST = n[0]
        is[ROW,0,beside0] = ix.INDEX(b*W + j)
        accum add n[0] <- b2i.i64(LEAST <= key[r,b*W + j])
      }
    });
// clang-format on

static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }
static const char *number(int64_t k) { return fmt("%lld", (long long)(k > 0 ? k : 0)); }
void nest_order(Lower *L, Node *n) {
  Value *key = n->in[0], *least = node_in(n, 2), *top = node_in(n, 3);
  IExpr *rows = dim(key, 0), *size = dim(key, 1), *k = dim(n->out[0], 1), *own = ix(1);
  bool wide = key->type->dtype == DT_I64, own_scratch = lower_at_entry(size), far = ix_upper(size) > INT32_MAX;
  const char *room =
      fmt("alloc ks: KEY[S,2,N + 16] %s alloc is: INDEX[S,2,N] %s", own_scratch ? "scratch" : "arena", own_scratch ? "scratch" : "arena");
  Word word[] = {{.name = "R", .size = rows},
                 {.name = "N", .size = size},
                 {.name = "K", .size = k},
                 {.name = "B", .size = top ? dim(top, 1) : ix(0)},
                 {.name = "S", .size = own_scratch ? own : rows},
                 {.name = "W", .text = number(attr_int(n, "block"))},
                 {.name = "KEY", .text = wide ? "i64" : "i32"},
                 {.name = "DIGITS", .text = wide ? "8" : "4"},
                 {.name = "LOWEST", .text = wide ? "-9223372036854775808l" : "-2147483648"},
                 {.name = "GREATEST", .text = wide ? "9223372036854775807l" : "2147483647"},
                 {.name = "TAKE", .text = wide ? "i2i.i32" : ""},
                 {.name = "INDEX", .text = far ? "i64" : "i32"},
                 {.name = "WIDE", .text = far ? "" : "i2i.i64"},
                 {.name = "MOST", .text = number(ix_upper(size) - 1)},
                 {.name = "ROOM", .text = number(ix_upper(size))},
                 {.name = "FULL", .text = number(ix_upper(k))},
                 {.name = "LAST", .text = number(ix_upper(k) - 1)},
                 {.name = "SHARED", .text = own_scratch ? "" : room},
                 {.name = "OWN", .text = own_scratch ? room : ""},
                 {.name = "ROW", .text = own_scratch ? "0" : "r"},
                 {.name = "LEAST_IN", .text = least ? ", in least: KEY[R]" : ""},
                 {.name = "LEAST", .text = least ? "least[r]" : "LOWEST"},
                 {.name = "TOP_IN", .text = top ? ", in top: KEY[R,B]" : ""},
                 {.name = "BLOCKS", .text = top ? blocks_text : ""}};
  HBuf *buf[5],
      *last = n->nout > 1 && n->out[1] ? lower_value(L, n->out[1]) : lower_scratch(L, "last", type_tensor(key->type->dtype, 1, &rows));
  int nbuf = 0;
  buf[nbuf++] = lower_value(L, key);
  if (least) buf[nbuf++] = lower_value(L, least);
  if (top) buf[nbuf++] = lower_value(L, top);
  buf[nbuf++] = lower_value(L, n->out[0]), buf[nbuf++] = last;
  lower_text(L, order_text, (int)(sizeof word / sizeof *word), word, nbuf, buf);
}

/* ---- OrderRows: rows of keys, compared column by column ---- */
// clang-format off
// Runs of 1, 2, 4 .. rows are merged; of equal rows the one of the left run comes first.
static const char rows_text[] = KERNEL(
kernel k(in key: KEY[N,M], out at: i64[N]) WHERE {
  alloc list: i64[2,N] arena
  for i: N { list[0,i] = ix.i64(i) }
  for once: 1 ordered {
    alloc width: i64[1] reg
    alloc side: i32[1] reg
    alloc edge: i64[3] reg
    alloc head: i64[2] reg
    alloc column: i64[1] reg
    alloc right: i64[1] reg
    width[0] = 1l
    side[0] = 0
    while width[0] < ix.i64(N) {
      let runs: 0..ROOM = idiv(ix.i64(N) + 2l*width[0] - 1l, 2l*width[0])
      for p: runs ordered {
        edge[0] = ix.i64(2*p)*width[0]
        edge[1] = min(edge[0] + width[0], ix.i64(N))
        edge[2] = min(edge[0] + 2l*width[0], ix.i64(N))
        head[0] = edge[0]
        head[1] = edge[1]
        let merged: 0..ROOM = edge[2] - edge[0]
        for o: merged ordered {
          right[0] = head[0] < edge[1] ? 0l : 1l
          let both: 0..1 = and(head[0] < edge[1], head[1] < edge[2]) ? 1 : 0
          for compare: both ordered {
            column[0] = 0l
            let from0: 0..1 = side[0]
            let left: 0..MOST limit N = head[0]
            let x0: 0..MOST limit N = list[from0,left]
            let from1: 0..1 = side[0]
            let mid: 0..MOST limit N = head[1]
            let y0: 0..MOST limit N = list[from1,mid]
            let c0: 0..LAST limit M = column[0]
            while and(column[0] < ix.i64(M), key[x0,c0]{M - 1} == key[y0,c0]{M - 1}) { accum add column[0] <- 1l }
            let from2: 0..1 = side[0]
            let left1: 0..MOST limit N = head[0]
            let x1: 0..MOST limit N = list[from2,left1]
            let mid1: 0..MOST limit N = head[1]
            let y1: 0..MOST limit N = list[from2,mid1]
            let c1: 0..LAST limit M = column[0]
            right[0] = and(column[0] < ix.i64(M), key[y1,c1]{M - 1} < key[x1,c1]{M - 1}) ? 1l : 0l
          }
          let from3: 0..1 = side[0]
          let cell: 0..MOST limit N = edge[0]
          let next: 0..MOST limit N = right[0] == 0l ? head[0] : head[1]
          list[1 - from3,cell + o] = list[from3,next]
          accum add head[0] <- 1l - right[0]
          accum add head[1] <- right[0]
        }
      }
      width[0] = 2l*width[0]
      side[0] = 1 - side[0]
    }
    for f: N ordered {
      let last: 0..1 = side[0]
      at[f] = list[last,f]
    }
  }
});
// clang-format on
void nest_order_rows(Lower *L, Node *n) {
  IExpr *size = dim(n->in[0], 0), *width = dim(n->in[0], 1);
  Word word[] = {{.name = "N", .size = size},
                 {.name = "M", .size = width},
                 {.name = "KEY", .text = n->in[0]->type->dtype == DT_I64 ? "i64" : "i32"},
                 {.name = "MOST", .text = number(ix_upper(size) - 1)},
                 {.name = "ROOM", .text = number(ix_upper(size))},
                 {.name = "LAST", .text = number(ix_upper(width) - 1)}};
  lower_text(L, rows_text, (int)(sizeof word / sizeof *word), word, 2, (HBuf *[]){lower_value(L, n->in[0]), lower_value(L, n->out[0])});
}
