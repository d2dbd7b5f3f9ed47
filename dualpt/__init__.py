"""DuAl-PT sweeps and ablations, under one name: `dualpt.core`, `dualpt.search_spaces`, `dualpt.sweeps`.

In the repository the three floors are folders of its root, and links here give them their installed names.
"""
