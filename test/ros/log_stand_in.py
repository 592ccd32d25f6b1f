# SPDX-License-Identifier: Apache-2.0
"""A logger that keeps its warnings."""


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text):
        self.lines.append(text)
