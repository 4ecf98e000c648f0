"""Hooks of the docs site: links that leave the docs, and roles of docstrings, become plain words."""

import re

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)\s]+)\)")
_ROLE = re.compile(r":(?:py:)?(?:attr|class|data|func|meth|mod|py):\s*(<code>)(?:~(?:\w+\.)*)?")
_TYPED = re.compile(r":class:`~?(?:\w+\.)*(\w+)`")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace links into the repository, which a site cannot follow, by their text and path."""
    return _OUTSIDE.sub(lambda link: link[1] if link[1].strip("`").startswith(link[2].removeprefix("../").rstrip("/"))
                        else f"{link[1]} (`{link[2].removeprefix('../')}`)", markdown)


def on_page_content(html: str, **_: object) -> str:
    """Drop roles of docstrings, which another tool would make links of."""
    return _TYPED.sub(r"\1", _ROLE.sub(r"\1", html))
