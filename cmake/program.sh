#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the program of the same name that pip put into the environment's bin folder.
here=$(dirname "$0")
exec "$here/../../bin/$(basename "$0")" "$@"
