# packages.sh - sourced by quickstart.sh and test.sh: `need_packages NAME..` installs the Debian packages that are not there yet.
need_packages() {
  missing=
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
  done
  [ -z "$missing" ] && return
  echo "installing:$missing"
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
BUILD_PACKAGES="gcc g++ cmake ninja-build llvm-19-dev libzstd-dev zlib1g-dev protobuf-c-compiler libprotobuf-c-dev binutils python3"
IMAGE_PACKAGES="libturbojpeg0-dev libpng-dev libtiff-dev libwebp-dev libopenjp2-7-dev" # what models with ImageDecoder load; no build needs them
