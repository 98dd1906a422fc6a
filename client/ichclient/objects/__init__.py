"""Result -> DICOM objects: what a PACS, its viewers and its auditors each can read.

    sources.py      headers of the judged series -> what an object must say of its source images
    judgement.py    all that the objects are made from, and their deterministic UIDs
    report.py       TID 1500 Comprehensive 3D SR: findings, certainty, operating points, evidence
    segmentation.py the lesion mask in the geometry of the source images
    key_images.py   Secondary Capture: the top slices with their outline and a warning
    key_objects.py  Key Object Selection: which images to open first
    refused.py      the report of a study that could not be judged
    files.py        all of them as files of one folder, or none

highdicom and pydicom are known here alone, and imported inside functions: whoever writes no
objects needs neither highdicom nor its time.
"""
