"""Reproduce room: a budget -> the paper's claims beside what came out of them here."""

from __future__ import annotations

from ichtrain.reproduce.budget import BUDGETS, Budget
from ichtrain.reproduce.page import page_from_record
from ichtrain.reproduce.record import PAGE_FILE, RECORD_FILE
from ichtrain.reproduce.run import reproduce

__all__ = ["BUDGETS", "PAGE_FILE", "RECORD_FILE", "Budget", "page_from_record", "reproduce"]
