#!/bin/sh
# rt_blob.sh DIR "CORE.o;.." "MAIN.o;..": joins the runtime's objects, gives their tn_ symbols the hash of the contents, writes rt_hash.h.
set -e
cd "$1"
ld -r -o core.o $(echo "$2" | tr ';' ' ')
ld -r -o main.o $(echo "$3" | tr ';' ' ')
hash=$(cat core.o main.o | sha256sum | cut -c1-8)
nm core.o main.o | awk -v h="$hash" 'NF > 1 && $NF ~ /^tn_/ { new = $NF; sub(/^tn_/, "tn_" h "_", new); print $NF, new }' | sort -u > rt.map
objcopy --redefine-syms=rt.map core.o rt_core.o
objcopy --redefine-syms=rt.map main.o rt_main.o
printf '%s' "$hash" > rt.hash
printf '#define RT_HASH "%s"\n' "$hash" > rt_hash.h
