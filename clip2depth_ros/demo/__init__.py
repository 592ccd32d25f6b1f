# SPDX-License-Identifier: Apache-2.0
"""The demo: a camera and the depth node as processes of their own, watched from a third, and what it leaves.

children    processes, their environment, and how they end
installed   where the nodes' programs and the package's shared files lie
session     starts the two nodes, records and counts what they publish, ends them
recording   the messages, as they came over the wire, in an MCAP file; and reading it back
live        counting while it runs
report      film, picture sheet, table and summary, made from the recording
"""
