#!/bin/bash
# All tests, from a fresh clone: builds, then unit, golden, hostile, conformance, samples; under CI also clang and sanitizer builds.
# Ends with 'N passed, N failed, N skipped'. What a step printed is in build/log/.  ./test.sh STEP.. runs only those steps.
cd "$(dirname "$0")" || exit 1
. cmake/packages.sh
need_packages $BUILD_PACKAGES libcmocka-dev libopenblas0 $IMAGE_PACKAGES python3-venv clang-19 clang-format-19 ccache
export CCACHE_BASEDIR=$PWD
build=$PWD/build jobs=$(nproc) passed=0 failed=0 skipped=0 began=$SECONDS only=" $* "
mkdir -p "$build/log"

python=.venv/bin/python
if ! $python -c 'import onnx, onnxruntime, ml_dtypes, PIL, sklearn' 2>/dev/null; then
  echo "installing Python packages into .venv"
  python3 -m venv .venv && .venv/bin/pip -q install onnx==1.23.2 onnxruntime numpy pillow ml_dtypes scikit-learn || exit 1
fi

# step NAME COMMAND..: one step; its last line may count, as 'N of M ..' with '(K known)', else the step itself is what passed or failed
step() {
  local name=$1 log=$build/log/$1.txt start=$SECONDS line k=0
  shift
  [ "$only" = "  " ] || [[ $only == *" $name "* ]] || return
  "$@" >"$log" 2>&1
  local status=$?
  line=$(grep -E '[0-9]+ of [0-9]+' "$log" | tail -n 1)
  if [[ $line =~ ([0-9]+)\ of\ ([0-9]+) ]]; then
    local good=${BASH_REMATCH[1]} all=${BASH_REMATCH[2]}
    [[ $line =~ \(([0-9]+)\ known\) ]] && k=${BASH_REMATCH[1]}
    local bad=$((all - good - k))
    [ $status != 0 ] && [ $bad = 0 ] && bad=1
    passed=$((passed + good)) skipped=$((skipped + k)) failed=$((failed + bad))
  elif [ $status = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  printf '%-12s %-6s %4d s  %s\n' "$name" "$([ $status = 0 ] && echo ok || echo FAILED)" $((SECONDS - start)) "$line"
  [ $status = 0 ] || tail -n 30 "$log" | cut -c1-300
}

configure() { cmake -S . -B "$@" -G Ninja; }
unit() { # ctest counts what it ran
  ninja -C "$1" -k0 unit && (cd "$1" && ctest -j"$jobs" --output-on-failure --timeout 300) >"$build/log/ctest.txt" 2>&1
  local status=$?
  cat "$build/log/ctest.txt"
  sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\)/\1 \2/p' "$build/log/ctest.txt" | awk '{ print $2 - $1 " of " $2 " unit tests pass" }'
  return $status
}
format() { git ls-files '*.c' '*.h' | grep -v dlpack.h | xargs clang-format-19 --dry-run -Werror; }
golden() {
  local files
  mapfile -t files < <(find tests/golden -name '*.ir' | sort)
  "$build/golden" "${files[@]}"
}
samples() { bash samples/test.sh "$build" "$python"; }
selections() { # NonZero, TopK, Unique, NonMaxSuppression on random data against ONNX Runtime
  $python tests/conform/selections.py "$build/selections" && $python tests/conform/run.py --build "$build" --suite "$build/selections" --jobs "$jobs" --backend eval --failures "$build/log/selections-failures.txt" &&
    $python tests/conform/run.py --build "$build" --suite "$build/selections" --jobs "$jobs" --failures "$build/log/selections-failures.txt" '_([1357]|[0-9]+_[135])_'
}
contrib() { # com.microsoft and ai.onnx.ml operators against ONNX Runtime
  $python tests/conform/contrib.py "$build/contrib" && $python tests/conform/run.py --build "$build" --suite "$build/contrib" --jobs "$jobs" --failures "$build/log/contrib-failures.txt"
}
zoo() { # the development zoo, where it is laid beside the repository: the small models
  local dir=$build/zoo/full
  [ -d ../shared/zoo ] || return 0
  [ -d "$dir/logreg_cancer" ] || $python ../shared/zoo/make.py "$dir" mlp_controller logreg_cancer scheduled_controller neural_ode_rk4 lstm_2x256 squeezenet1_1 unet decoder_opset23
  $python tests/zoo/run.py --build "$build" --zoo "$dir" --list ../shared/zoo/zoo.json --resume
}
clang() { configure build-clang -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 -DTENON_LLVM_SHARED=ON && ninja -C build-clang tenon unit tools; }
sanitized() {
  configure build-asan -DTENON_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g1" && ninja -C build-asan tenon tools &&
    ASAN_OPTIONS=detect_leaks=0 unit build-asan
}

step build sh -c "cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release && ninja -C build tenon libtenon tools measure manual"
step includes python3 tests/unit/includes.py
step format format
step unit unit "$build"
step cli $python tests/cli.py --build "$build"
step golden golden
[ -f tests/hostile/run.py ] && step hostile $python tests/hostile/run.py "$build/tenon" check
step samples samples
step gradient $python tests/conform/gradient.py "$build/tenon"
step quantized $python tests/conform/quantized.py "$build/tenon"
step opsets $python tests/opsets/run.py "$build/tenon"
step images $python tests/images.py "$build/tenon"
step selections selections
step contrib contrib
step matrix $python tests/conform/matrix.py --build "$build" --jobs "$jobs" --every 12
step conform $python tests/conform/run.py --build "$build" --jobs "$jobs"
step eval $python tests/conform/run.py --build "$build" --jobs "$jobs" --backend eval
[ -d ../shared/zoo ] && step zoo zoo
if [ "$CI" = true ]; then
  step cuda $python tests/conform/run.py --build "$build" --jobs "$jobs" --backend cuda --every 3
  if "$build/tenon" samples/digits/digits.onnx --emit=ptx -o "$build/log/digits.ptx" 2>"$build/log/nvrtc.txt"; then # NVRTC is here
    step nvrtc $python tests/conform/run.py --build "$build" --jobs "$jobs" --backend nvrtc --every 20
  fi
  step clang clang
  step sanitized sanitized
  step runtime bash tests/runtime/run.sh "$build/runtime"
fi
echo "took $((SECONDS - began)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
