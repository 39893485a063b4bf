"""A real server under load that is killed again and again, and what must be true at the end.

    make torture [KILLS=200] [ARGS='--databases sqlite --seed 3']

Clients write into journals of their own, synced to disk, what they ask before they ask and what
they got before they go on. The servers (and PostgreSQL, and the clients) get SIGKILL at random
moments. At the end every answer in a journal has exactly one charge, every charge an answer.
"""
