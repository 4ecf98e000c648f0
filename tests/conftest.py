"""Which tests are left out of the count of lines: where simulated gates or slow studies would pay for it."""

GATES = {"boards", "formal", "hdl", "rtl"}


def pytest_collection_modifyitems(items):
    for item in items:
        folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
        if folder in GATES or item.get_closest_marker("slow"):
            item.add_marker("no_cover")
