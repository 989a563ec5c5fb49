"""A fleet: Macs in groups. Copy this directory, and make it yours; git ignores one called fleet.

    cp -R group_data/example fleet
    pyinfra fleet/inventory.py deploy.py --dry
    pyinfra fleet/inventory.py deploy.py --limit builders
    pyinfra fleet/inventory.py deploy.py -y --serial --fail-percent 0

What a Mac becomes: the defaults, overlaid by .env, by its groups' files in group_data/ beside this one (a Mac
in two groups: the later group counts), by what stands next to its name here, and by --data for one run.
"""

builders = [
    "build1.example.com",
    # Homebrew belongs to somebody else there, and there is more memory.
    ("build2.example.com", {"homebrew_user": "bob", "colima_memory": 6}),
]

services = [
    # A name of your own, and where it is.
    ("shop", {"ssh_hostname": "shop.example.com"}),
]
