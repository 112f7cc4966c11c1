# %% [markdown]
# # A first comparison, from zero to a figure of one's own
#
# Three methods on scikit-learn's handwritten digits, kept so small that the notebook is done
# within a minute; nothing is downloaded.

# %%
import pfltune

found = pfltune.compare(
    ["fedperfix", "fedavg", "local"],
    overrides={"protocol.rounds": 4, "warm_start.epochs": 5},
    trials=2,
    seeds=2,
    name="first",
    progress=True,
)

# %% [markdown]
# A notebook shows what was found: the report's table, and its main figure.

# %%
found

# %% [markdown]
# The same as pandas DataFrames, with every digit. Accuracies are in [0, 1], MB are 10⁶ bytes.

# %%
found.table[["title", "test/accuracy", "test/accuracy_std_seeds", "comm/total_mb"]]

# %%
found.trials[["method", "stage", "outcome", "knobs/lr", "val/best_accuracy"]]

# %% [markdown]
# The configuration that the search chose, and a figure of the report:

# %%
found.best_of("fedperfix")

# %%
found.figure("learning_curves")

# %% [markdown]
# ## A figure of one's own
#
# What does a client gain over training alone? `clients` has a row per method, seed and client.

# %%
import matplotlib.pyplot as plt

accuracy = found.clients.pivot_table(
    index="client", columns="method", values="test_accuracy", aggfunc="mean"
)
gain = 100 * accuracy.drop(columns="local").sub(accuracy["local"], axis=0)

_, axes = plt.subplots(figsize=(6.4, 3.4))
order = accuracy["local"].argsort().to_numpy()
for method in gain:
    axes.plot(range(len(order)), gain[method].iloc[order], marker="o", label=method)
axes.axhline(0, color="0.5", linewidth=1)
axes.set(xlabel="client, by its accuracy alone", ylabel="gain, percentage points")
axes.legend(frameon=False)

# %% [markdown]
# ## Later
#
# What was found stands in its folder. Another session reads it, without training anything:

# %%
pfltune.load_results("first").table["test/accuracy"]
