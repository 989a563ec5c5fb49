"""What all Macs share: over SSH only a host whose key is known is talked to.

Get the keys into ~/.ssh/known_hosts before: with `ssh admin@build1.example.com` once for each, or with
`ssh-keyscan`. Compare each with what that Mac says: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`.
"""

ssh_strict_host_key_checking = "yes"
