"""All kinds of tries."""

import of_calls
import of_files
import of_network
import of_terminal

KINDS = [*of_files.KINDS, *of_network.KINDS, *of_terminal.KINDS, *of_calls.KINDS]
