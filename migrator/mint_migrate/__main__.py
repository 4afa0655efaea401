"""`python -m mint_migrate`."""

from mint_migrate.cli import main

if __name__ == "__main__":
    main()
