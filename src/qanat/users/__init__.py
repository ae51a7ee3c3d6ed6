"""One user of the network: an application with its identity, contacts and services, on this machine.

Here the services meet the client of the key manager's door and the machine's files and sockets.
"""
