"""Result -> DICOM objects: what a PACS, its viewers and its auditors each can read.

    codes.py        the coded vocabulary, every code with its source
    sources.py      headers of the judged series -> what an object must say of its source images
    references.py   slices -> the images they are, or the frames of enhanced ones
    judgement.py    all that the objects are made from, and their deterministic UIDs
    earlier.py      the report that a folder holds already: the next one's predecessor
    report.py       findings, certainty and operating points, as groups of a document
    document.py     TID 1500 Comprehensive 3D SR around such groups, every source as evidence
    place.py        where the mask is highest
    segmentation.py the lesion mask in the geometry of the source images
    key_images.py   Secondary Capture: the top slices with their outline and a warning
    key_objects.py  Key Object Selection: which images to open first
    refused.py      the report of a study that could not be judged
    finish.py       whose it is, and the times of the analysis instead of the present
    files.py        all of them as files of one folder

highdicom and pydicom are known here alone, and imported inside functions: whoever writes no
objects needs neither highdicom nor its time.
"""
