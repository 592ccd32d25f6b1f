# SPDX-License-Identifier: Apache-2.0
"""Images and depth of a scene, rendered by MuJoCo."""
