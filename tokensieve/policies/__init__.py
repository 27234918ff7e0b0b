"""What holds of every sample, whatever the method says: tokens that are never dropped, tokens that
each sample keeps at least, and no lone tokens.

    protections.py  which tokens are protected; answers.py and writing.py: the text of tokens
    changes.py      what each policy changes about the weights
    overriding.py   in which order, and the account of it
    applying.py     the policies of a selection
"""

from tokensieve.policies.applying import PROTECTED, Policies
from tokensieve.policies.overriding import overridden, policy_names
from tokensieve.policies.protections import PROTECTIONS

__all__ = ["PROTECTED", "PROTECTIONS", "Policies", "overridden", "policy_names"]
