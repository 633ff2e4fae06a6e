#!/bin/sh
# install.sh LAYER [PLACE]: put what the lock pins for a layer, without what nobody runs, into PLACE; without a PLACE, into
# /unpacked what came as a file that nothing can mount. The layer `tools` is uv, in /opt/tools.
set -eu
layer=$1
place=${2:-}
requirements=/usr/local/lib/provision/$layer.txt
unpacked=/unpacked
mkdir -p "${place:-$unpacked}"
if [ ! -s "$requirements" ]; then exit 0; fi
if [ -f /run/secrets/proxy ]; then . /run/secrets/proxy; fi

bring_uv() { # by the pip that python3-venv brings for new environments
    PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python3 -m pip install -q --no-cache-dir --no-compile --no-deps \
        --require-hashes --target "$1" ${PIP_INDEX:+"--index-url=$PIP_INDEX"} -r /usr/local/lib/provision/tools.txt
}
if [ "$layer" = tools ]; then
    bring_uv /opt/tools
    exit 0
fi
as_file=$(find /mnt/wheels -name '*.whl' 2>/dev/null || true)
tools=/mnt/tools
if [ -d "$tools" ]; then
    if [ -z "$place" ]; then exit 0; fi # what came as a file is mounted where it belongs
else # the classic builder, which mounts nothing
    if [ -z "$place$as_file" ]; then exit 0; fi
    if [ "$layer" = torch ] && ls -d "$place"/lib/python3*/site-packages/torch >/dev/null 2>&1; then exit 0; fi
    tools=/tmp/tools
    bring_uv "$tools"
fi
set --
# What came as a file needs no cache: unpacked beside its place, it is linked instead of copied.
if [ -n "$as_file" ]; then
    export UV_NO_CACHE=1 UV_LINK_MODE=hardlink
    set -- "$@" --find-links=/mnt/wheels
elif [ -d /var/cache/provision-uv ]; then
    export UV_CACHE_DIR=/var/cache/provision-uv UV_LINK_MODE=copy
else
    export UV_NO_CACHE=1
fi
# A torch index is either a simple index or a page of links; uv takes nothing from the one that it is not.
if [ -n "${TORCH_INDEX:-}" ]; then set -- "$@" "--index=$TORCH_INDEX" "--find-links=$TORCH_INDEX"; fi
if [ -n "${PIP_INDEX:-}" ]; then set -- "$@" "--default-index=$PIP_INDEX"; fi
NO_COLOR=1 "$tools/bin/uv" pip install --no-deps --require-hashes --python /opt/venv/bin/python --prefix "$unpacked" "$@" \
    -r "$requirements"
rm -rf "$unpacked/.lock" /tmp/tools
site=$(echo "$unpacked"/lib/python3*/site-packages)

# No note of when a wheel's file was made: two builds of one lock hold the same bytes.
for notes in "$site"/*.dist-info/uv_cache.json; do
    if [ -f "$notes" ]; then
        sed -i '/uv_cache\.json/d' "${notes%/*}/RECORD"
        rm "$notes"
    fi
done

# What nobody runs: these packages' own tests, static libraries but nvcc's, nvrtc's second copy.
rm -rf "$site"/torch/test
for package in mpmath networkx numpy regex sympy; do
    if [ -d "$site/$package" ]; then find "$site/$package" -type d -name tests -prune -exec rm -rf {} +; fi
done
if [ -d "$site/torch/bin" ]; then
    find "$site/torch/bin" -maxdepth 1 \( -name 'test_*' -o -name '*StoreTest' -o -name 'protoc*' \) -delete
fi
for package in nvidia triton; do
    if [ -d "$site/$package" ]; then
        find "$site/$package" \( -name 'lib*.a' ! -name 'libcudart_static.a' ! -name 'libcudadevrt.a' \
            -o -name 'libnvrtc*.alt.so*' \) -delete
    fi
done

# Symbols for debuggers, but not in what auditwheel has moved about (it left a folder of libraries beside), nor NVIDIA's.
if [ "$layer" = torch ] || [ "$layer" = libraries ] && command -v strip >/dev/null; then
    set --
    for package in "$site"/*/; do
        case $package in *.libs/ | */nvidia/) continue ;; esac
        if [ ! -d "${package%/}.libs" ]; then set -- "$@" "$package"; fi
    done
    find "$@" -name '*.so' -type f -exec strip --strip-unneeded {} +
fi

# Bytecode without times in it, for all but the model zoos: of their hundreds of modules a program takes a handful, compiled
# in milliseconds. A file that is no Python (a template) compiles nowhere, and is nobody's module.
zoos='/(transformers/models/(?!auto/)[^/]+|modelscope/(models|pipelines|trainers|preprocessors)|torch/testing)/'
find "$site" -name '*.py' -print0 | xargs -0 -r -n 400 -P "$(nproc)" /opt/venv/bin/python -I -W ignore -m compileall -qq \
    --invalidation-mode unchecked-hash -s "$unpacked" -p /opt/venv -x "$zoos" || echo "not all of $layer compiles"

if [ "$layer" = toolkit ] && [ -d "$site/nvidia/cu13/bin" ]; then
    ln -s lib "$site/nvidia/cu13/lib64"
    ln -s "/opt/venv/${site#"$unpacked"/}/nvidia/cu13" "$unpacked/cuda"
fi
move() { # the content of a folder into another
    for entry in "$1"/* "$1"/.[!.]*; do
        if [ -d "$entry" ] && [ ! -h "$entry" ] && [ -d "$2/${entry##*/}" ]; then
            (move "$entry" "$2/${entry##*/}")
        elif [ -e "$entry" ] || [ -h "$entry" ]; then
            mv "$entry" "$2/"
        fi
    done
}
if [ -n "$place" ]; then
    move "$unpacked" "$place"
    rm -rf "$unpacked"
fi
