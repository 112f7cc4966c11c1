"""The contract of a method, for a test of one's own: it needs no pytest and no data.

    import pytest
    from pfltune.testing import contract_of

    @pytest.mark.parametrize("case", contract_of("my_method.py:MyMethod"), ids=str)
    def test_my_method_keeps_the_contract(case):
        case.check()

:func:`check_method` runs all of it at once.
"""

from pfltune.testing.broken import Broken as Broken
from pfltune.testing.contract import CHECKS as CHECKS
from pfltune.testing.contract import Case as Case
from pfltune.testing.contract import check_method as check_method
from pfltune.testing.contract import contract_of as contract_of
from pfltune.testing.federations import small_federation as small_federation
from pfltune.testing.subject import Subject as Subject
