# Sourced by the other scripts: activates an environment that has fairseq, this package and what it depends on.
#
# The active environment is used if it has torch and fairseq; otherwise .venv in the repository is made once and
# reused. What else pyproject.toml lists and either of them lacks is added to it. Variables:
#   PYTHON  interpreter that makes .venv (default: the first of python3.11, 3.12, 3.10, 3.9 found)
#   TORCH   what to install as torch instead of the tested version, for example TORCH="torch==2.5.1"
# What is tested together is listed in versions.txt.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

_has_fairseq() {  # _has_fairseq PYTHON: whether the interpreter can import torch and fairseq
    command -v "$1" >/dev/null && (cd / && "$1" -c 'import torch, fairseq') >/dev/null 2>&1
}

_find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3.9 python3}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    echo "error: found no Python 3.9 to 3.12 (looked for: ${PYTHON:-python3.11 python3.12 python3.10 python3.9 python3});" \
        "install one, or name it: PYTHON=/path/to/python3.11 bash ..." >&2
    return 1
}

_pip() { python -m pip --disable-pip-version-check install --quiet "$@"; }

_install_fairseq() {
    local versions=$repository/scripts/versions.txt
    if [ -n "${TORCH:-}" ]; then
        versions=$repository/.venv/versions.txt
        { grep -v '^torch' "$repository/scripts/versions.txt" && echo "$TORCH"; } >"$versions"
    fi
    if python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        # fairseq-fixed compiles against the torch that is installed; its isolated build would download another.
        _pip -c "$versions" torch numpy cython setuptools wheel
        echo "installing fairseq-fixed (compiles for a few minutes)"
        _pip -c "$versions" --no-build-isolation fairseq-fixed
    else
        _pip -c "$versions" pip
        _pip -c "$versions" torch numpy
        echo "installing fairseq (compiles for a few minutes)"
        _pip -c "$versions" fairseq
    fi
}

install_missing() {  # install_missing EXTRA...: this package, and what it and these extras of it need
    local missing
    missing=$(python "$repository/scripts/missing_packages.py" "$@")
    [ -n "$missing" ] || return 0
    echo "adding what it lacks:" $missing
    # Without its dependencies: pip would replace a fairseq of another name or version.
    [[ $missing != *fairseq_ghat ]] || _pip --no-deps --editable "$repository"
    missing=${missing%fairseq_ghat}
    [ -z "$missing" ] || _pip $missing
}

if _has_fairseq python; then
    echo "using the active environment ($(command -v python))"
else
    if ! _has_fairseq "$repository/.venv/bin/python"; then
        _python=$(_find_python)
        echo "making $repository/.venv with $("$_python" --version), torch and fairseq: a few minutes, once"
        "$_python" -m venv --clear "$repository/.venv"
        source "$repository/.venv/bin/activate"
        _install_fairseq
    fi
    source "$repository/.venv/bin/activate"
    echo "using $repository/.venv"
    activate=$repository/.venv/bin/activate  # what the caller may tell
fi
install_missing
python - <<'PY'
import importlib.metadata as m, platform
name = next(d.metadata["Name"] for d in m.distributions() if d.metadata["Name"] in ("fairseq", "fairseq-fixed", "fairseq_fixed"))
print(f"Python {platform.python_version()}, torch {m.version('torch')}, {name} {m.version(name)}, sacrebleu {m.version('sacrebleu')}")
PY
