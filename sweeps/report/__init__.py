"""A sweep as one self-contained HTML page, with its tables and figures as files beside it."""
