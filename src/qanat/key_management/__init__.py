"""The key manager: accounts, pools, intake of key blocks, key relay."""
