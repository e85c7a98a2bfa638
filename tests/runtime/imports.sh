#!/bin/sh
# imports.sh ARTIFACT.. - holds shared objects and executables to runtime/imports.txt: every imported name is in it, with that symbol version.
here=$(cd "$(dirname "$0")/../.." && pwd)
bad=0
for f in "$@"; do
  more=$(nm -uD "$f" | awk -v table="$here/runtime/imports.txt" '
    BEGIN { while ((getline line < table) > 0) if (split(line, w, /[ \t]+/) >= 3 && line !~ /^#/) ok[w[3] == "-" ? w[1] : w[1] "@" w[3]] = 1 }
    !($NF in ok) { print $NF }')
  [ -z "$more" ] || { echo "$f imports what runtime/imports.txt does not list: $more"; bad=1; }
done
exit $bad
