# SPDX-License-Identifier: Apache-2.0
"""What the operating system does to a program: signals, child processes, the network, the terminal."""
