"""Names in running text: found as whole names, and masked. Imports nothing of the package.

`finding` looks for names, `forms` guesses how a name is also written, `words` has the lists.
"""

from sake_registry.names.finding import BETWEEN, COMMA, SUBJECT, find, fold, mask, proper_names
from sake_registry.names.forms import forms, last_name

__all__ = [
    "BETWEEN",
    "COMMA",
    "SUBJECT",
    "find",
    "fold",
    "forms",
    "last_name",
    "mask",
    "proper_names",
]
