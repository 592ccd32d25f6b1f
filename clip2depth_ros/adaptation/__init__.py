# SPDX-License-Identifier: Apache-2.0
"""A network learns the place that a robot drives in, from its own images and odometry, without true depth."""
