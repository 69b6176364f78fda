"""The HTML report: one page that needs nothing else, for a screen, a phone and paper."""

from trueband.report.page import page
from trueband.report.pictures import Picture, pictures

__all__ = ["Picture", "page", "pictures"]
