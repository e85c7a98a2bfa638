#!/bin/bash
# samples/test.sh BUILD PYTHON: the samples do what their texts say.
set -e
build=$(realpath "$1") python=$2
here=$(dirname "$(realpath "$0")")
work=$build/samples
mkdir -p "$work"

"$build/tenon" "$here/digits/digits.onnx" -o "$work/digits"
read -ra labels <"$here/digits/labels.txt"
for i in "${!labels[@]}"; do
  "$work/digits" run "$here/digits/image$i.npy" --output-dir "$work"
  "$python" "$here/digits/show.py" "$here/digits/image$i.npy" "$work/output_0.npy" | grep "It is a ${labels[$i]},"
done

"$build/tenon" "$here/controller/controller.onnx" -o "$work/libcontroller.a"
cc -Wall -Wextra -Werror -O1 -I "$work" -I "$here/../runtime/include" "$here/controller/control.c" "$work/libcontroller.a" -lpthread -lm -o "$work/control"
"$work/control"
"$build/tenon" "$here/controller/controller.onnx" -o "$work/libcontroller.so"
"$python" "$here/controller/control.py" "$work/libcontroller.so"
