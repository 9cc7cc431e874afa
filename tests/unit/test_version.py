from entrypoints.version import herald_version


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert herald_version("pytest")[0].isdigit()


def test_a_checkout_that_was_never_installed_still_answers() -> None:
    assert herald_version("there-is-no-such-distribution") == "unknown"
