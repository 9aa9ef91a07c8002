"""What the recorder asks of the operating system: files and sockets that are the user's alone, syncs, memory.

`durable` brings files to the disk in the right order, `private_files` makes folders and small files, `unix_socket`
connects and says who is at the other end, `standard_streams` keeps closed ones away from files, `memory` hands freed
memory back, `priority` lets threads run before others, `packages` names what to install. Imports the ground alone;
used by every room.
"""
