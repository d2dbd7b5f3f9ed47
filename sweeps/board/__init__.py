"""`dualpt board`: one local page over a store, for sweeps that run and sweeps that are done.

- `views`: what the page shows of a sweep, as plain values. `beside`: two sweeps, and what differs in their settings.
- `server`: answers the page's requests, and nothing else. `serving`: the command, from its address to Ctrl-C.

The page is `board.html`, `board.css` and the scripts `board.js` and `charts.js`; they are served from here, and nothing
comes from a network. May use `launching` (for `status`), `comparison` and `ledger`; writes nothing.
"""
