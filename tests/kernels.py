"""Kernels that fork from one process, which has imported PyTorch, Lightning and IPython for them.

Each of a dozen kernels would need three seconds for that. What Jupyter starts is this file as a
script: it asks the server for a fork, passes signals on to it, and ends as it ends. The lab is
imported in the fork. `pytest -p kernels` starts the server.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

ADDRESS = "LAB_TEST_KERNELS"  # of the server, in the environment of all tests
IMPORTED = ("ipykernel.kernelapp", "matplotlib.pyplot", "pytorch_lightning", "anywidget", "h5py")


if __name__ == "kernels":  # a plugin, and loaded before nbval
    sys.modules["rfc3987_syntax"] = None  # jsonschema takes a second for it, and nothing needs it


def pytest_configure(config):
    """Start the server, once for all workers, where processes can fork."""
    import tempfile

    if sys.platform == "linux" and ADDRESS not in os.environ:
        folder = tempfile.TemporaryDirectory()
        server = start(Path(folder.name))
        for end in (folder.cleanup, server.wait, server.kill):  # the last one first
            config.add_cleanup(end)


def start(folder):
    """Start the server; return its process. From now on, Jupyter's kernels are its forks."""
    import subprocess

    command = [sys.executable, "-S", "-E", __file__, "-f", "{connection_file}"]  # it imports little
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    path = folder / "kernels" / "python3" / "kernel.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(spec), encoding="utf-8")
    os.environ |= {"JUPYTER_PATH": str(folder), ADDRESS: str(folder / "socket")}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ[ADDRESS])
        listener.listen()
        return subprocess.Popen([sys.executable, __file__], stdin=listener)


def serve():
    """Fork a kernel for everybody who asks."""
    import gc
    import importlib

    listener = socket.socket(fileno=os.dup(0))
    del sys.path[0]  # the folder of this file
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as kernels have it
    gc.disable()  # there is no garbage in what is imported, and looking for it takes a fifth
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    listener.settimeout(5)
    while os.getppid() == parent:  # it ends with the tests, however they end
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            listener.close()
            run_kernel(connection)
            return
        connection.close()


def run_kernel(connection):
    """Be the kernel that was asked for: with its folder, environment and streams."""
    import threading

    from ipykernel.kernelapp import IPKernelApp

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, *_ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as file:
        told = json.loads(file.read(int.from_bytes(size, "big")))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    os.chdir(told["folder"])
    threading.Thread(target=obey, args=[connection], daemon=True).start()
    with_server = f"--IPKernelApp.parent_handle={os.getppid()}"  # it ends with it, too
    sys.argv = ["ipykernel_launcher", *told["arguments"], with_server]
    IPKernelApp.launch_instance()


def obey(connection):
    """Send this process the signals that come; end it with the one that asked for it."""
    while number := connection.recv(1):
        os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


def ask(arguments):
    """Ask for a kernel with these arguments; return when it has ended."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.environ[ADDRESS])
    told = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    told = json.dumps(told).encode()
    socket.send_fds(connection, [len(told).to_bytes(4, "big")], [0, 1, 2])
    connection.sendall(told)

    def pass_on(number, _frame):
        with contextlib.suppress(BrokenPipeError):  # it has just ended
            connection.send(bytes([number]))

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    connection.recv(1)


if __name__ == "__main__":
    ask(sys.argv[1:]) if len(sys.argv) > 1 else serve()
