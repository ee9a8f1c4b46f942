#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The soak of `make soak`, for some seconds: keeps it working, and finds what happens at once."""
import os
import pathlib
import sys

SOAK = pathlib.Path(__file__).resolve().parent / "soak.py"
os.execv(sys.executable, [sys.executable, str(SOAK), "--seconds", "15", "--clients", "2"])
