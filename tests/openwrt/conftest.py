"""The OpenWrt tests borrow the namespace tests' lab."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))
os.environ["PATH"] += ":/usr/sbin:/sbin"
