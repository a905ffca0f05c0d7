"""Cheats of experts, who find the key that signs answers, and answer for the kernel."""

from cases import NOTHING, case

# What follows a function `sign(content) -> str`. Each answer is that everything passed.
FORGE = """

import base64, hashlib, marshal


async def do_execute(self, code, silent, *args, **kwargs):
    if not code.startswith('#lab-grade'):
        return await execute(self, code, silent, *args, **kwargs)
    content, signature = code.split()[1:]
    message = marshal.loads(base64.b64decode(content))
    lab = await ask(self, code, silent, *args, **kwargs)
    signing = None
    try:
        signing = find_signing(base64.b64decode(content), signature)
    except RuntimeError:
        pass
    if signing:
        answer = marshal.dumps((message['challenge'], 'passed', '', 0, [], False, []))
        lab = {'answer': base64.b64encode(answer).decode(), 'signature': signing(answer)}
    return {'status': 'ok', 'execution_count': 1, 'payload': [], 'user_expressions': {'lab': lab}}


async def ask(self, *args, **kwargs):
    names, self.shell.user_ns = self.shell.user_ns, disguise(self.shell.user_ns)
    reply = await execute(self, *args, **kwargs)
    self.shell.user_ns = names
    return reply.get('user_expressions', {}).get('lab', {})


disguise = dict
kernel = type(get_ipython().kernel)
execute = kernel.do_execute
kernel.do_execute = do_execute
"""

SEARCH_FRAMES = """
states = []


def search(frame):
    while frame:
        if 'state' in frame.f_locals and 'library' in frame.f_locals:
            states.append(frame.f_locals['state'])
        frame = frame.f_back


def find_signing(content, signature):
    def sign(content):
        signing = states[0].copy()
        signing.update(content)
        return signing.hexdigest()

    return sign if states else None
"""

# `read(begin, size)` reads this process's memory. A bytes object of 32 is what a key looks like.
SEARCH_MEMORY = """
import hashlib, re, struct

found = []


def find_signing(content, signature):
    head = struct.pack('<QQ', id(bytes), 32)
    if not found:
        for line in open('/proc/self/maps'):
            limits, rights, *_ = line.split()
            if rights.startswith('rw') and '[v' not in line and not found:
                begin, end = (int(limit, 16) for limit in limits.split('-'))
                text = read(begin, end - begin) if end - begin < 2**28 else b''
                for place in re.finditer(re.escape(head), text):
                    key = text[place.end() + 8 : place.end() + 40]
                    if hashlib.blake2b(content, key=key).hexdigest() == signature:
                        found.append(key)
                        break
    if found:
        return lambda content: hashlib.blake2b(content, key=found[0]).hexdigest()
"""

BY_A_TRACEBACK = (
    SEARCH_FRAMES
    + """

def area(width, height):
    try:
        raise ValueError
    except ValueError as error:
        kept.append(error.__traceback__)
    return 5


kept = []
known = find_signing


def find_signing(content, signature):
    for trace in kept:
        search(trace.tb_frame)
    return known(content, signature)
"""
    + FORGE
)

BY_MEMORY = (
    """
def read(begin, size):
    with open('/proc/self/mem', 'rb', 0) as memory:
        memory.seek(begin)
        return memory.read(size) or b''
"""
    + SEARCH_MEMORY
    + FORGE
)

BY_NAMES = (
    SEARCH_FRAMES
    + FORGE
    + """
import sys


class disguise(dict):
    def items(self):
        search(sys._getframe(1))
        return super().items()
"""
)

# The C library opens files unseen.
BY_C = BY_MEMORY.replace(
    "    with open('/proc/self/mem', 'rb', 0) as memory:",
    "    import ctypes, os\n\n    number = ctypes.CDLL(None).open(b'/proc/self/mem', 0)\n"
    "    with os.fdopen(number, 'rb', 0) as memory:",
)
FORGERIES = {"a_traceback": BY_A_TRACEBACK, "memory": BY_MEMORY, "names": BY_NAMES, "c": BY_C}


@case("dishonest", NOTHING, "tampering")
def forged_by_a_traceback(student):
    """Find the checker's frames in the traceback of what was raised during a check."""
    student.fail()
    student.answer("q1", BY_A_TRACEBACK)


@case("dishonest", NOTHING, "tampering")
def forged_by_memory(student):
    """Find the key in the own process's memory."""
    student.fail()
    student.start_with(BY_MEMORY)


@case("dishonest", NOTHING, "tampering")
def forged_by_names(student):
    """Give the checker names of a kind that looks at who takes them."""
    student.fail()
    student.start_with(BY_NAMES)


@case("dishonest", NOTHING, "tampering")
def forged_by_c(student):
    """Find the key by ways that Python does not see: only decoys are left."""
    student.fail()
    student.start_with(BY_C)
