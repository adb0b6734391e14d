"""Scripts in processes of their own that need not import torch and fairseq again, which takes longer than they work."""

import atexit
import json
import logging
import multiprocessing
import os
import runpy
import subprocess
import sys
from functools import cache

# The server that processes fork off imports no program: fairseq's set up logging as they are imported.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["torch", "fairseq.trainer", "fairseq.sequence_generator", "sacrebleu"])


def run_script(words, cwd, env, stdin, output):
    """The status of a Python script that read one file and wrote, also its errors, into another.

    Args:
        words: path of the script and its arguments.
        cwd: folder that it runs in.
        env: all its environment variables.
        stdin: path of what it reads.
        output: path of what it prints.
    """
    process = _PROCESSES.Process(target=_work, args=(words, cwd, env, _fresh_path(), stdin, output))
    process.start()
    process.join()
    return process.exitcode


def _work(words, cwd, env, path, stdin, output):
    os.dup2(os.open(stdin, os.O_RDONLY), 0)
    os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # multiprocessing has closed that of the server
    multiprocessing.set_start_method(None, force=True)  # workers of data loaders start as they do by default
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = words
    logging.getLogger().handlers.clear()  # those of libraries, which programs set up before they import them
    # Without what the tests add to it.
    sys.path[:] = [os.path.dirname(os.path.abspath(words[0])), *path]  # noqa: TID251
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # as at the end of a program; a process of multiprocessing leaves them out


@cache
def _fresh_path():
    """Where Python looks for modules, but for the folder of the script."""
    script = "import json, sys; print(json.dumps(sys.path[1:]))"
    return json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
