#!/bin/sh
# Engines for the GPU of this machine, proven, in FOLDER/model_repository.
#
#   build-engines.sh FOLDER CACHE
#
# FOLDER is the folder above the repository, which is replaced by renaming. The released repository
# is put there if there is none; one that is there is kept, with its candidates. What was built
# before on this GPU with these versions comes from CACHE and is proven again. The server must not
# start unless this ends with 0.
set -eu

folder=$1
cache=$2
target=${ICH_TARGET:-tensorrt}
repository=$folder/model_repository

if [ ! -d "$repository" ]; then
  released=$(python3 -B -c 'from ichclient.repository import default_repository as d; print(d())')
  next=$(mktemp -d "$folder/.next.XXXXXX")
  trap 'rm -rf "$next"' EXIT
  cp -R "$released/." "$next"
  find "$next" -name __pycache__ -type d -prune -exec rm -rf {} +
  chmod 0755 "$next"
  mv "$next" "$repository"
  trap - EXIT
fi

ichexport verify --repository "$repository"
ichexport build --repository "$repository" --target "$target" --cache "$cache"
ichexport verify --repository "$repository" --target "$target"
