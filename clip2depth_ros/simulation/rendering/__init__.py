# SPDX-License-Identifier: Apache-2.0
"""Pictures and depth of a scene by MuJoCo."""
