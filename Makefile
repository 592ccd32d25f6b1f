# SPDX-License-Identifier: Apache-2.0
# Everything is installed in .venv; ROS 2 and all other packages come from PyPI. A ROS installation is neither needed nor
# changed (with a ROS installation, build with colcon: see README.md).

# Python of the virtual environment, 3.10 to 3.13: the first one found, or set by `make PYTHON=python3.12`.
ifndef PYTHON
PYTHON := $(firstword $(shell for name in python3 python3.12 python3.13 python3.11 python3.10; do \
	$$name -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$name && break; \
	done) python3)
endif
VENV := .venv
BIN := $(VENV)/bin
# More arguments for the command of a target, for example `make test ARGS="-k points"`.
ARGS ?=
INPUT ?=

# The packages of a sourced ROS installation would take precedence over those of the environment.
ifdef ROS_DISTRO
unexport LD_LIBRARY_PATH
endif
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_DISTRO ROS_VERSION \
	ROS_PYTHON_VERSION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The package is installed in editable mode, so changes of Python files take effect immediately. Changes of files that CMake
# builds or copies (messages, launch and config files) need a new installation, which needs no network.
BUILD_SOURCES := pyproject.toml setup.py CMakeLists.txt package.xml \
	$(wildcard cmake/*) $(wildcard msg/*) $(wildcard launch/*) $(wildcard config/*)
INSTALL := $(BIN)/pip install --quiet --no-build-isolation

.PHONY: help demo test bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo                  install, then process half a minute of a simulated drive"
	@echo "make demo INPUT=path       the same on your own video, folder of images or bag"
	@echo "make test                  install with PyTorch, then run lint, type check and all tests (some: ARGS='-k points')"
	@echo "make bench                 print the performance tables"
	@echo "make clean                 remove the environment and all generated files"
	@echo "PYTHON=python3.12          use this Python (3.10 to 3.13) for a new environment"
	@echo "CLIP2DEPTH_ROS=jazzy       use the ROS 2 wheels of Jazzy instead of Kilted in a new environment"

demo: $(VENV)/.demo
	$(BIN)/clip2depth demo $(if $(INPUT),--input "$(INPUT)") $(ARGS)

test: $(VENV)/.test $(VENV)-colcon/.ready
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

bench: $(VENV)/.demo
	@for script in $(filter-out benchmark/clues.py benchmark/costmap.py benchmark/deviation.py benchmark/hostile.py benchmark/soak.py,$(wildcard benchmark/*.py)); do \
		echo; echo "$$script"; $(BIN)/python "$$script" $(ARGS) || exit 1; done

clean:
	rm -rf $(VENV) $(VENV)-colcon build install log demo *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null || { \
		echo "make: needs Python 3.10 to 3.13, and $(PYTHON) is not one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test "$$(uname -sm)" = "Linux x86_64" || { \
		echo "make: ROS 2 on PyPI exists for Linux on x86_64 only; on $$(uname -sm) see docs/arm.md" >&2; \
		exit 1; }
	@missing=$$($(PYTHON) cmake/missing_packages.py); test -z "$$missing" || { \
		echo "make: some system packages are missing: sudo apt-get install $$missing" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=24" "setuptools>=77"
	@touch $@

# Needed to build the messages.
$(VENV)/.build: $(VENV)/.created cmake/ros_wheels.py
	$(BIN)/python cmake/ros_wheels.py > $@.txt
	@echo "Installing ROS 2 from PyPI into $(VENV)"
	$(BIN)/pip install --quiet -r $@.txt
	@touch $@

$(VENV)/.demo: $(VENV)/.build $(BUILD_SOURCES)
	$(INSTALL) --editable ".[sim]"
	@touch $@

$(VENV)/.test: $(VENV)/.build $(BUILD_SOURCES)
	@echo "Installing PyTorch and the test tools into $(VENV): several gigabytes the first time"
	$(INSTALL) --editable ".[train,sim,test]"
	@touch $@ $(VENV)/.demo

# colcon has its own environment, because it requires an old setuptools.
$(VENV)-colcon/.ready: | $(VENV)/.created
	$(PYTHON) -m venv $(VENV)-colcon
	$(VENV)-colcon/bin/pip install --quiet colcon-ros colcon-output colcon-bash
	@touch $@
