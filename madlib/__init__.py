import sys

# Drawing a figure and reading a notebook import jsonschema, which would compile a grammar of web addresses: seconds for every process, and nothing here asks for it.
sys.modules.setdefault("rfc3987_syntax", None)

__version__ = "0.1.0"
