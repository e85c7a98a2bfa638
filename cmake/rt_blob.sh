#!/bin/sh
# rt_blob.sh DIR "CORE.o;.." "HOST.o;.." "MAIN.o;.." "OPENBLAS.o" "IMAGE.o;..": joins the runtime's objects, gives every symbol they define, and every tn_ symbol they
# name, the hash of the contents (tn_x and x both become tn_<hash>_x), writes rt_hash.h.
set -e
cd "$1"
shift
for part in core host main openblas image; do
  ld -r -o joined_$part.o $(echo "$1" | tr ';' ' ')
  shift
done
all="joined_core.o joined_host.o joined_main.o joined_openblas.o joined_image.o"
hash=$(cat $all | sha256sum | cut -c1-8)
nm -g $all | awk -v h="$hash" '
  NF > 1 && $NF != "_start" && ($NF ~ /^tn_/ || $(NF - 1) ~ /^[TDRBVWtdrb]$/) && !($(NF - 1) ~ /^[wW]$/ && $NF !~ /^tn_/) {
    new = $NF; sub(/^tn_/, "", new); print $NF, "tn_" h "_" new }' | sort -u > rt.map
for part in core host main openblas image; do objcopy --redefine-syms=rt.map joined_$part.o rt_$part.o; done
printf '%s' "$hash" > rt.hash
printf '#define RT_HASH "%s"\n' "$hash" > rt_hash.h
