"""Search over configurations: Hydra's overrides as a search space, Optuna's samplers, trials that survive crashes.

The plugin `hydra/sweeper=depo_optuna` (src/hydra_plugins/depo_optuna) is a thin class over this package.
"""
