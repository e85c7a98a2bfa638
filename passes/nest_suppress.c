// nest_suppress.c - Suppress: of boxes in order of their scores those that no better one overlaps too much.
//
// A box is compared with 32 of the kept ones at once, without a branch among them; the edges of those lie in five rows of their own. Rows
// (batch and class) run in parallel.
#include "passes/index.h"

// clang-format off
// edge: y0, x0, y1, x1 and the area of each box of a batch; order: its boxes, best first, then -1.
static const char suppress_text[] = KERNEL(
kernel k(in edge: f32[S,5,N], in order: i64[R,N], in most: f32[1], out kept: i64[R,K]) WHERE {
  SHARED
  for r: R par {
    OWN
    alloc next: i64[1] reg
    alloc stay: i64[1] reg
    alloc goes: i32[2] reg
    alloc mine: f32[5] reg
    alloc box: i64[1] reg
    next[0] = 0l
    stay[0] = 0l
    goes[1] = 1
    for z: (K + 31)/32 ordered { for v0: 32 vec { rim[ROW,4,32*z + v0] = 0.0 } }
    while goes[1] != 0 {
      let at: 0..LAST limit N = next[0]
      box[0] = next[0] < ix.i64(N) ? order[r,at]{N - 1} : -1l
      goes[1] = b2i.i32(and(0l <= box[0], stay[0] < ix.i64(K)))
      let more: 0..1 = goes[1]
      for one: more ordered {
        for e: 5 ordered unroll {
          let this: 0..LAST limit N = box[0]
          mine[e] = edge[r/C,e,this]
        }
        goes[0] = 1
        let blocks: 0..BLOCKS = shr(stay[0] + 31l, 5l)
        for b: blocks ordered {
          alloc hit: i32[32] reg
          let open: 0..1 = goes[0]
          for test: open ordered {
            for v: 32 vec {
              let %0 = rim[ROW,4,32*b + v]
              let %1 = rim[ROW,0,32*b + v]
              let %2 = rim[ROW,1,32*b + v]
              let %3 = rim[ROW,2,32*b + v]
              let %4 = rim[ROW,3,32*b + v]
              let %5 = (%3 < mine[2] ? %3 : mine[2]) - (mine[0] < %1 ? %1 : mine[0])
              let %6 = (%4 < mine[3] ? %4 : mine[3]) - (mine[1] < %2 ? %2 : mine[1])
              let %7 = %5 * %6
              let %8 = mine[4] + %0 - %7
              hit[v] = b2i.i32(and(and(and(0.0 < %5, 0.0 < %6), and(0.0 < mine[4], 0.0 < %0)), and(0.0 < %8, most[0] < %7 / %8)))
            }
            for u: 32 ordered unroll { accum and goes[0] <- 1 - hit[u] }
          }
        }
        for w: 5 ordered unroll {
          let to: 0..ROOM limit K = stay[0]
          rim[ROW,w,to]{if goes[0] != 0} = mine[w]
        }
        let cell: 0..ROOM limit K = stay[0]
        kept[r,cell]{if goes[0] != 0} = box[0]
        accum add stay[0] <- i2i.i64(goes[0])
        accum add next[0] <- 1l
      }
    }
    let missing: 0..FULL = ix.i64(K) - stay[0]
    for q: missing ordered {
      let behind: 0..ROOM limit K = stay[0]
      kept[r,behind + q] = -1l
    }
  }
});
// clang-format on
static const char *number(int64_t k) { return fmt("%lld", (long long)(k > 0 ? k : 0)); }
void nest_suppress(Lower *L, Node *n) {
  Value *edge = n->in[0], *order = n->in[1], *kept = n->out[0];
  IExpr *size = edge->type->dim[2], *k = kept->type->dim[1], *rows = order->type->dim[0];
  bool own = lower_at_entry(k);
  const char *room = fmt("alloc rim: f32[T,5,K + 32] %s", own ? "scratch" : "arena");
  Word word[] = {{.name = "S", .size = edge->type->dim[0]},
                 {.name = "R", .size = rows},
                 {.name = "C", .size = ix_div(rows, edge->type->dim[0])},
                 {.name = "N", .size = size},
                 {.name = "K", .size = k},
                 {.name = "T", .size = own ? ix(1) : rows},
                 {.name = "LAST", .text = number(ix_upper(size) - 1)},
                 {.name = "ROOM", .text = number(ix_upper(k) - 1)},
                 {.name = "FULL", .text = number(ix_upper(k))},
                 {.name = "BLOCKS", .text = number(ix_upper(k) / 32 + 1)},
                 {.name = "SHARED", .text = own ? "" : room},
                 {.name = "OWN", .text = own ? room : ""},
                 {.name = "ROW", .text = own ? "0" : "r"}};
  HBuf *buf[] = {lower_value(L, edge), lower_value(L, order), lower_value(L, n->in[2]), lower_value(L, kept)};
  lower_text(L, suppress_text, (int)(sizeof word / sizeof *word), word, 4, buf);
}
