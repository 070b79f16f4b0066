"""The contract that every bijector, density model and detector keeps, ours or a stranger's.

    from tfp_flows import testing

    def test_my_bijector():
        testing.check_bijector(lambda dtype: MyBijector(dtype=dtype), event_shape=(4, 4, 2))

Each check raises `AssertionError` with the numbers that disagree.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
