# SPDX-License-Identifier: Apache-2.0
"""The demo: a camera node and the depth node in two processes, observed from a third, and the demo's output.

children    the processes, their environment and their termination
installed   paths of the nodes' programs and of the package's shared files
session     starts the two nodes, records and counts what they publish, stops them
recording   writes the messages unchanged into an MCAP file, and reads it back
live        counts messages during the run
report      video, image sheet, table and summary, made from the recording
"""
