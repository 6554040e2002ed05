"""How the documentation is built: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import endwell

project = "endwell"
author = "endwell contributors"
version = release = endwell.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "markdown_docstrings",
]
exclude_patterns = ["_build", "snippets"]

html_theme = "furo"
html_title = "endwell"
html_show_copyright = False
html_show_sphinx = False
# No font, script or badge from elsewhere: the built pages work without a network.
html_theme_options = {"top_of_page_buttons": []}
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# `Streams` in a docstring is a link where it names something, and code where it does not.
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
