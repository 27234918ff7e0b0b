"""What methods look at.

corpus --+--> scores by role --------+
         +--> planted copy --> scores --> selection
file of other numbers ---------------+
"""

from tasks.external import take_scores
from tasks.planting import plant_corpus
from tasks.scoring import score_corpus
from tokensieve.planning import EvidencePlan


def collect_evidence(evidence: EvidencePlan) -> None:
    """Make everything that the methods look at; what is there is found again."""
    if evidence.plant is not None:
        plant_corpus(evidence.plant)
    for scoring in evidence.scorings:
        score_corpus(scoring)
    if evidence.external is not None:
        take_scores(evidence.external)
