"""Chat templates: messages -> one text, and where in it the answers and the contents lie.

A template is the boundary between a conversation and its tokens, so it says exactly which
characters a model is asked to produce: what follows the header of an assistant message, up to and
with the end-of-turn text.
"""

from tokensieve.templates.loading import load_template
from tokensieve.templates.rendered import Rendered, Span, Template, joined_content

__all__ = ["Rendered", "Span", "Template", "joined_content", "load_template"]
