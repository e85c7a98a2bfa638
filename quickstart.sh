#!/bin/sh
# Builds Tenon and lets you watch it work: a model becomes an executable, and the executable reads a handwritten digit.
set -e
cd "$(dirname "$0")"
. cmake/packages.sh
need_packages $BUILD_PACKAGES

echo "building build/tenon"
if ! { cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release && ninja -C build tenon; } >build.log 2>&1; then
  tail -n 40 build.log
  exit 1
fi
rm -f build.log

digits=samples/digits
mkdir -p build/quickstart
echo
echo "\$ build/tenon $digits/digits.onnx -o build/quickstart/digits"
build/tenon $digits/digits.onnx -o build/quickstart/digits
ls -l build/quickstart/digits | awk '{ print "  an executable of " $5 " bytes, with the weights in it" }'
echo
echo "\$ build/quickstart/digits run $digits/image0.npy"
build/quickstart/digits run $digits/image0.npy --output-dir build/quickstart
echo
python3 $digits/show.py $digits/image0.npy build/quickstart/output_0.npy
echo
echo "\$ build/quickstart/digits bench --seconds 0.5"
build/quickstart/digits bench --seconds 0.5
echo
echo "Next: build/tenon MODEL.onnx -o libmodel.so, build/tenon --help, docs/tour.md"
