# Sourced by the other scripts: activates an environment that has fairseq and this package, making it if need be.
#
# The active environment is used if it has torch, fairseq, sacrebleu, sentencepiece and tensorboardX; otherwise
# .venv in the repository is made once and reused. Variables:
#   PYTHON  interpreter that makes .venv (default: the first of python3.11, 3.12, 3.10, 3.9 found)
#   TORCH   what to install as torch (default below), for example TORCH="torch==2.5.1"

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

_has() {  # _has PYTHON MODULE...: whether the interpreter can import all of them
    local python=$1
    shift
    (cd / && "$python" -c 'import sys, importlib
for name in sys.argv[1:]: importlib.import_module(name)' "$@") >/dev/null 2>&1
}

_has_commands() {  # whether all commands of setup.py stand beside the interpreter
    local name
    for name in $(grep -o '"ghat-[a-z]*' "$repository/setup.py" | tr -d '"'); do
        [ -x "$(dirname "$(command -v "$1")")/$name" ] || return 1
    done
}

_has_this_package() {  # whether the interpreter's fairseq_ghat, with its commands, is this repository's
    local at
    at=$(cd / && "$1" -c 'import fairseq_ghat, os; print(os.path.realpath(os.path.dirname(fairseq_ghat.__file__)))' 2>/dev/null) || return 1
    [ "$at" = "$(cd "$repository/fairseq_ghat" && pwd -P)" ] && _has_commands "$1"
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

_install() {
    local pip="$repository/.venv/bin/python -m pip --disable-pip-version-check install --quiet"
    if "$repository/.venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        # fairseq-fixed compiles against the torch that is installed; its isolated build would download another.
        $pip "${TORCH:-torch==2.13.0}" numpy cython setuptools wheel
        echo "installing fairseq-fixed (compiles for a few minutes)"
        $pip --no-build-isolation fairseq-fixed==0.12.3.1
    else
        # fairseq 0.12.2 needs omegaconf < 2.1, which pip >= 24.1 refuses, and numpy before 1.24.
        $pip "pip<24.1"
        $pip "${TORCH:-torch==2.0.1}" "numpy<1.24"
        echo "installing fairseq 0.12.2 (compiles for a few minutes)"
        $pip fairseq==0.12.2
    fi
    $pip sacrebleu sentencepiece tensorboardX fvcore rouge-score sacremoses subword-nmt
    $pip --no-deps --editable "$repository"
}

if command -v python >/dev/null && _has_this_package python && _has python sacrebleu sentencepiece tensorboardX; then
    echo "using the active environment ($(command -v python))"
elif command -v python >/dev/null && _has python torch fairseq sacrebleu sentencepiece tensorboardX; then
    echo "the active environment has fairseq: adding this package to it with: pip install --no-deps -e ."
    python -m pip install --quiet --no-deps --editable "$repository"
else
    if ! _has "$repository/.venv/bin/python" torch fairseq sacrebleu sentencepiece tensorboardX fairseq_ghat; then
        _python=$(_find_python)
        echo "making $repository/.venv with $("$_python" --version), torch and fairseq: a few minutes, once"
        "$_python" -m venv --clear "$repository/.venv"
        _install
    fi
    _has_commands "$repository/.venv/bin/python" ||  # made before a command was added
        "$repository/.venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --editable "$repository"
    # shellcheck disable=SC1091
    source "$repository/.venv/bin/activate"
    echo "using $repository/.venv"
fi
python - <<'PY'
import importlib.metadata as m, platform
name = next(d.metadata["Name"] for d in m.distributions() if d.metadata["Name"] in ("fairseq", "fairseq-fixed", "fairseq_fixed"))
print(f"Python {platform.python_version()}, torch {m.version('torch')}, {name} {m.version(name)}, sacrebleu {m.version('sacrebleu')}")
PY
