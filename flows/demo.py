"""The main job on data of its own: noise is planted, models are trained, the corpus is cleaned.

    noisy corpus, tiny base and reference --> clean (fixed-model) --+
                                          --> clean (rho)         --+
                                          --> clean (sieve)       --+
                                          --> clean (random)      --+--> how much noise went?
    noisy corpus, tiny base --> evolve: warm-up and two rounds -----+

The later cleanings reuse the scores of the first. The evolving reference is the base that
was trained on the noisy corpus itself: nobody gave it clean examples.
"""

from pathlib import Path

from prefect import flow

from flows.clean import clean
from flows.evolve import evolve
from tasks.demo import demo_settings, evolution_settings, make_materials, report_demo
from tasks.demo_report import DemoReport

METHODS = ("fixed-model", "rho", "sieve", "random")


@flow(name="demo")
def demo(workspace: Path) -> DemoReport:
    """Return what each method kept of the corpus, and how much of the planted noise it removed."""
    materials = make_materials(workspace)
    summaries = {method: clean(demo_settings(materials, workspace, method)) for method in METHODS}
    evolution = evolve(evolution_settings(materials, workspace))
    return report_demo(materials, workspace, summaries, evolution)
