"""`mint_migrate` and `mint_runtime` meet only as processes."""

from __future__ import annotations

import pytest
from support.imports import imports

OTHER = {"mint_migrate": "mint_runtime", "mint_runtime": "mint_migrate"}


@pytest.mark.parametrize("package", OTHER)
def test_a_package_never_imports_the_other(package):
    other = OTHER[package]
    assert [
        str(each) for each in imports(package) if each.imported.partition(".")[0] == other
    ] == []
