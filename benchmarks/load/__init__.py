"""The load client: many streams over real sockets, each read as its reader profile says, at next to no cost.

plan         what is to be done, and what came of it
arrivals     when the requests of an open load are due
requests     bytes of a request, the head of an answer
tokens       tokens in bytes as they come: counted, or every index checked
keeping      what is done with a body's bytes: kept or counted, and looked at for the end
exchange     one request and its answer, from the first byte to the last
reading      the readers: fast, paced, bursty, stalled, leaving
control      how far a load is, and how it is ended early
self_check   whether the client was the limit
client       whole loads on one loop
worker       a client in a process of its own
group        several clients that do one load together
null         a server that only sends, to learn what the client can do at most
"""

from __future__ import annotations

__all__ = ()
