"""Study folder -> result: read DICOM, stream HU to Triton, write what it said.

The client needs no torch. A research demonstration, not a medical device.
"""
