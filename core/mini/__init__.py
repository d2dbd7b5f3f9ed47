"""The embedded mini grid: eleven drawn datasets and the tiny CLIP that half knows them."""
