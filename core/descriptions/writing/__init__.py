"""Banks written by a language model: questions, answers, and what is kept of them.

- `questions`: what is asked about a class
- `causal_lm`, `endpoint`: who answers, a model in this process or a server; `writers`: what both do
- `answers`: the file of raw answers, from which a killed run continues
- `cleaning`: from an answer to one description; `fitting`: the text tower that it must fit
- `generation`: all of it together, until every class has its descriptions
"""
