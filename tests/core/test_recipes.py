import pytest

from dualpt.core.recipes import (
    COOP_EPOCHS,
    MINI_BATCH_SIZE,
    MINI_LEARNING_RATE,
    MINI_STEPS,
    resolve_recipe,
    steps_per_epoch,
)


@pytest.mark.parametrize(("shots", "epochs"), [(1, 50), (2, 100), (4, 100), (8, 200), (16, 200), (3, 100), (32, 200)])
def test_coop_epochs_follow_the_shots(shots, epochs):
    recipe = resolve_recipe("coop", dataset="dtd", shots=shots, n_images=47 * shots)
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (0.002, 32, epochs)


@pytest.mark.parametrize("shots", COOP_EPOCHS)
def test_coop_trains_imagenet_for_fifty_epochs(shots):
    assert resolve_recipe("coop", dataset="ImageNet", shots=shots, n_images=1000 * shots).epochs == 50


@pytest.mark.parametrize("shots", MINI_STEPS)
@pytest.mark.parametrize("n_images", [4, 31, 32, 100, 192, 20_000])
def test_mini_reaches_its_steps_in_whole_epochs(shots, n_images):
    recipe = resolve_recipe("mini", dataset="mini-pets", shots=shots, n_images=n_images)
    assert (recipe.learning_rate, recipe.batch_size) == (MINI_LEARNING_RATE, MINI_BATCH_SIZE)
    steps = recipe.epochs * steps_per_epoch(n_images, MINI_BATCH_SIZE)
    assert steps >= MINI_STEPS[shots]
    assert steps - steps_per_epoch(n_images, MINI_BATCH_SIZE) < MINI_STEPS[shots]


@pytest.mark.parametrize("name", ["coop", "kgcoop", "mini"])
def test_what_is_set_wins_over_the_recipe(name):
    recipe = resolve_recipe(name, dataset="dtd", shots=1, n_images=47, learning_rate=0.5, batch_size=8, epochs=3)
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (0.5, 8, 3)


def test_the_partial_batch_is_dropped_unless_it_is_all():
    assert steps_per_epoch(64, 32) == 2
    assert steps_per_epoch(63, 32) == 1
    assert steps_per_epoch(5, 32) == 1


def test_a_scale_shortens_the_recipe_and_leaves_what_is_set():
    whole = resolve_recipe("coop", dataset="OxfordPets", shots=16, n_images=592)
    half = resolve_recipe("coop", dataset="OxfordPets", shots=16, n_images=592, epoch_scale=0.5)
    assert (whole.epochs, half.epochs) == (200, 100)
    assert resolve_recipe("coop", dataset="OxfordPets", shots=16, n_images=592, epochs=7, epoch_scale=0.5).epochs == 7
