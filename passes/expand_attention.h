// expand_attention.h - scaled dot product attention as graph ops, for ai.onnx and com.microsoft builders.
#pragma once
#include "passes/expand.h"

typedef struct Attend {
  Value *q, *k, *v;      // [B,N,S,H] [B,Nkv,T,H] [B,Nkv,T,Hv]; k and v with the past before them
  Value *bias;           // added to the scores, or NULL; -inf: that key is not allowed
  Value *allowed;        // bool, or NULL; both broadcast to [B,N,S,T]
  Value *sink;           // one more logit per row that takes part in the sum only, or NULL
  double scale, softcap; // softcap 0: none
  DType precision;       // of the softmax if it is to be f64
  bool finite_bias;      // bias holds no -inf
  bool plain;            // rows of -inf give NaN, as Softmax does
  Value *(*score_mod)(const B *, Value *), *(*prob_mod)(const B *, Value *);
  Value *raw, *capped, *biased, *probs; // results beside the output
} Attend;
Value *attend(const B *, Attend *);                                                                       // -> [B,N,S,Hv] of q's type
Value *split_heads(const B *, Value *x, int64_t heads);                                                   // [B,S,N*H] -> [B,N,S,H]
Value *merge_heads(const B *, Value *x);                                                                  // and back
Value *band_mask(const B *, Value *q, Value *k, Value *offset, bool causal, int64_t left, int64_t right); // bool, or NULL: all allowed
Value *rotate(const B *, Value *x, Value *cosine, Value *sine, int64_t rot, bool interleaved);
Value *rows(const B *, Value *count); // 0..S-1 as [S,1]
