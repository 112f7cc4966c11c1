"""A promise that a method does not keep."""


class Broken(AssertionError):
    """What was expected of a method, what was found, and what its author can do.

    Args:
        expected: what every method does.
        found: what this one did.
        advice: what to do.
        hook: where to look; empty if no single hook is to blame.

    Attributes:
        expected, found, advice, hook: see above.
    """

    def __init__(self, expected: str, found: str, advice: str, hook: str = "") -> None:
        look = f" (look at {hook})" if hook else ""
        super().__init__(f"expected {expected}, found {found}: {advice}{look}")
        self.expected, self.found, self.advice, self.hook = expected, found, advice, hook
