#!/bin/sh
# rt_blob.sh DIR "CORE.o;.." "MAIN.o;..": joins the runtime's objects, gives every symbol they define, and every tn_ symbol they name, the
# hash of the contents (tn_x and x both become tn_<hash>_x), writes rt_hash.h.
set -e
cd "$1"
ld -r -o joined_core.o $(echo "$2" | tr ';' ' ')
ld -r -o joined_main.o $(echo "$3" | tr ';' ' ')
hash=$(cat joined_core.o joined_main.o | sha256sum | cut -c1-8)
nm -g joined_core.o joined_main.o | awk -v h="$hash" '
  NF > 1 && $NF != "_start" && ($NF ~ /^tn_/ || $(NF - 1) ~ /^[TDRBVWtdrb]$/) && !($(NF - 1) ~ /^[wW]$/ && $NF !~ /^tn_/) {
    new = $NF; sub(/^tn_/, "", new); print $NF, "tn_" h "_" new }' | sort -u > rt.map
objcopy --redefine-syms=rt.map joined_core.o rt_core.o
objcopy --redefine-syms=rt.map joined_main.o rt_main.o
printf '%s' "$hash" > rt.hash
printf '#define RT_HASH "%s"\n' "$hash" > rt_hash.h
