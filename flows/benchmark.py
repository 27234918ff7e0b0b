"""Which method finds the noise in data like yours, and what is each worth once you train on it?

    files --> noise planted at known places --> compare: every method, random, full, the oracle --+
                                                 |                                                |
                                                 +--> random at the rate of each that sets its own |
                                                                                                  |
    where the noise is --------------------------------------------------> found by kind --> table

Once for each seed: noise, selections and trainings are drawn anew.
"""

from prefect import flow

from flows.compare import compare
from tasks.benchmark import (
    Benchmark,
    find_planted,
    mark_noise,
    own_random_arms,
    plan_noisy,
    plant_drop,
    summarise_benchmark,
)
from tasks.corpus import make_corpus
from tokensieve.planning import compare_settings
from tokensieve.settings import BenchmarkSettings


@flow(name="benchmark", flow_run_name="benchmark")
def benchmark(settings: BenchmarkSettings) -> Benchmark:
    """Return what each method finds of the noise, and what a model trained on its choice is worth.

    Run it again after any crash, or with more arms or seeds: what is finished is found again.
    """
    compared, found = [], []
    for seed in settings.seeds:
        noisy = plant_drop(settings, seed)
        corpus = plan_noisy(settings, noisy)
        make_corpus(corpus)
        marks = mark_noise(settings, noisy, corpus)
        arms = compare(compare_settings(settings, noisy, marks, seed))
        controls = own_random_arms(settings, arms)
        if controls:
            arms = compare(compare_settings(settings, noisy, marks, seed, controls))
        compared.append(arms)
        found.append(find_planted(settings, arms, marks))
    return summarise_benchmark(settings, compared, found)
