// frontend.h - ONNX models to graph IR.
#pragma once
#include "ir/graph.h"

typedef struct ImportOptions {
  const char *const *dirs; // --external-data: external tensors may resolve into these directories too
  int ndirs;
} ImportOptions;

// Both return a graph whose ops have the newest opset's meaning, nodes in topological order, functions inlined, or unwind with fail().
// Weights stay in the mapped file; it must not change while the compilation runs.
Graph *import_file(const char *path, const ImportOptions *);
// name: for messages. dir: where external data lies, NULL: such tensors are refused. bytes must outlive the graph.
Graph *import_bytes(const void *bytes, size_t n, const char *name, const char *dir, const ImportOptions *);
