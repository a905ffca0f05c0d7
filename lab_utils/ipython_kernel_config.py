"""Read by each kernel of an environment that has the lab, before a notebook imports anything."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.InteractiveShellApp.extensions.append("lab_utils.checks")
