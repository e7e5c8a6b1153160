"""Which of the public methods and properties of a library's classes have been called.

The library is left as it is: the interpreter's profiling hook sees each call, and only calls that come
from a file of this folder count, so that one method calling another inside the library proves nothing.
"""

import contextlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Offered:
    """The public members of some classes, and which of them have been called."""

    def __init__(self, classes, excused):
        self.members = {}
        for offering in classes:
            for name in dir(offering):
                code = code_of(find(offering, name))
                if not name.startswith("_") and code is not None:
                    self.members.setdefault(code, f"{offering.__name__}.{name}")
        unknown = set(excused) - set(self.members.values())
        if unknown:
            raise ValueError(f"excused, but not offered: {sorted(unknown)}")
        self.excused = set(excused)
        self.called = set()

    @contextlib.contextmanager
    def watching(self):
        """Notes the calls made inside the `with` block."""
        sys.setprofile(self.note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def note(self, frame, event, _argument):
        if event == "call" and frame.f_code in self.members and from_here(frame.f_back):
            self.called.add(frame.f_code)

    def never_called(self):
        """The names of the members that nobody called and nobody excused."""
        left = (name for code, name in self.members.items() if code not in self.called)
        return sorted(set(left) - self.excused)


def find(offering, name):
    for base in offering.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


def code_of(member):
    """The code that runs when the member is used; none for plain attributes."""
    if isinstance(member, property):
        member = member.fget
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    return getattr(member, "__code__", None)


def from_here(frame):
    return frame is not None and frame.f_code.co_filename.startswith(HERE + os.sep)
