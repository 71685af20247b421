"""A guard of an operator that fails."""


def check(text: str, context: object) -> list[object]:
    raise RuntimeError(text)
