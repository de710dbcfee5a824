"""Names in running text: found as whole names, masked, looked up. Imports only `data`.

`finding` looks for names, by the rules of `letters`, `scripts` and `languages`, and where somebody
judges what is found, by those of `joints` and `order`; `forms` guesses how a name is also written,
`index` knows whose names a text has, `words` has the lists.
"""

from sake_registry.names.finding import BETWEEN, COMMA, SUBJECT, find, mask, proper_names, stands
from sake_registry.names.forms import forms, last_name
from sake_registry.names.index import NameIndex, Naming, Need, Spans
from sake_registry.names.letters import fold

__all__ = [
    "BETWEEN",
    "COMMA",
    "SUBJECT",
    "NameIndex",
    "Naming",
    "Need",
    "Spans",
    "find",
    "fold",
    "forms",
    "last_name",
    "mask",
    "proper_names",
    "stands",
]
