"""Cheats of experts, who speak to the check in the kernel's place."""

from cases import NOTHING, case

# What serves a check, as a student's code finds it.
FIND = """
import gc, sys
from lab_grade.bridge import Channel, KernelPeer, StandIn

channel = next(o for o in gc.get_objects() if isinstance(o, Channel))
"""


@case("dishonest", NOTHING, "tampering")
def answers_forged(student):
    """Answer each request of a check with what may be looked for."""
    student.fail()
    student.start_with(
        FIND
        + """

def act(self, action, values):
    told = [True, 0.0, 1.0, 'passed', {'outcome': 'passed'}]
    asked.append(action)
    if action == 'name':
        return [told[len(asked) % 5]]
    return [0, told[len(asked) % 5], {}] if action == 'run' else told[0]


asked = []
KernelPeer.act = act
"""
    )


@case("dishonest", NOTHING, "tampering")
def messages_spoiled(student):
    """Send messages of one's own: ends, errors, nonsense and gigabytes, before each answer."""
    student.fail()
    student.start_with(
        FIND
        + """
import struct

parts = [b'nonsense', b'[' * 99_999, struct.pack('<Q', 3) + b'1e9', b'']
send = type(channel).send


def spoil(self, kind, content=()):
    sent.append(1)
    if len(sent) % 5 == 4:
        self.connection.sendall(struct.pack('<BQ', 1, 2**62))
    send(self, len(sent) % 7, [parts[len(sent) % 4]])


sent = []
type(channel).send = spoil
"""
    )


@case("dishonest", NOTHING, "tampering")
def check_interrogated(student):
    """Ask the check for its own names, files and modules, by what it has handed over."""
    student.fail()
    student.answer(
        "q5",
        FIND
        + """

def normalized(images):
    frame = sys._getframe()
    while 'self' not in frame.f_locals or not isinstance(frame.f_locals['self'], KernelPeer):
        frame = frame.f_back
    peer = frame.f_locals['self']
    found = []
    for action in (['name', 'result'], ['run', 'getattr', [0, '__class__'], {}, False],
                   ['run', 'setattr', [images, 'x', 1], {}, False], ['figures']):
        try:
            found.append(peer.ask(*action))
        except Exception as error:
            found.append(error)
    raise ValueError(found)
""",
    )


@case("dishonest", NOTHING, None)
def memory_read(student):
    """Search the memory of the own process, and of those above it, for checks."""
    student.fail()
    student.start_with(
        """
        import os

        for process in {1, os.getpid(), os.getppid()}:
            try:
                with open(f'/proc/{process}/mem', 'rb', 0) as memory:
                    for line in open(f'/proc/{process}/maps'):
                        begin, end = (int(x, 16) for x in line.split()[0].split('-'))
                        if line.split()[1].startswith('rw') and end - begin < 2**26:
                            memory.seek(begin)
                            if b'the-hidden' + b'-check' in memory.read(end - begin):
                                print('found')
            except (OSError, ValueError):
                continue
        """
    )
