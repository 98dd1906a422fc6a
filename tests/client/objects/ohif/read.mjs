// SEG and SR -> JSON of what Cornerstone's adapters make of them, as OHIF calls them.
//
//     node read.mjs STUDY_FOLDER SEG.dcm SR.dcm OUT.json
//
// The adapters, Cornerstone's core and dcmjs are the real ones; what a viewer's image loader would
// tell of the source images is told here from their headers.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, segPath, srPath, outPath] = process.argv.slice(2);
console.log = console.error; // the adapters print what they find
const core = await import('@cornerstonejs/core');
const { adaptersSEG, adaptersSR, helpers } = await import('@cornerstonejs/adapters');
const dcmjs = (await import('dcmjs')).default;

const bytes = (path) => new Uint8Array(readFileSync(path)).buffer;

function dataset(path) {
  const file = dcmjs.data.DicomMessage.readFile(bytes(path));
  const found = dcmjs.data.DicomMetaDictionary.naturalizeDataset(file.dict);
  found._meta = dcmjs.data.DicomMetaDictionary.namifyDataset(file.meta);
  return found;
}

// One image id a plane: of a file, or of each frame of an enhanced one.
const planes = new Map();
for (const name of readdirSync(folder).sort()) {
  const file = dataset(join(folder, name));
  const groups = [file.PerFrameFunctionalGroupsSequence ?? []].flat();
  const shared = [file.SharedFunctionalGroupsSequence ?? []].flat()[0] ?? {};
  const count = Number(file.NumberOfFrames ?? 1);
  for (let frame = 1; frame <= count; frame++) {
    const own = groups[frame - 1] ?? {};
    const group = (key) => [own[key] ?? shared[key] ?? file].flat()[0];
    const id = `wadouri:${file.SOPInstanceUID}` + (groups.length ? `?frame=${frame}` : '');
    planes.set(id, {
      ...file,
      frame: groups.length ? frame : undefined,
      ImagePositionPatient: group('PlanePositionSequence').ImagePositionPatient.map(Number),
      ImageOrientationPatient: group('PlaneOrientationSequence').ImageOrientationPatient.map(Number),
      PixelSpacing: group('PixelMeasuresSequence').PixelSpacing.map(Number),
    });
  }
}

function told(type, id) {
  const plane = planes.get(id);
  if (!plane) return undefined;
  const cosines = plane.ImageOrientationPatient;
  return {
    instance: plane,
    generalImageModule: { sopInstanceUID: plane.SOPInstanceUID },
    generalSeriesModule: { seriesInstanceUID: plane.SeriesInstanceUID, modality: 'CT' },
    frameNumber: plane.frame ?? 1,
    imagePlaneModule: {
      frameOfReferenceUID: plane.FrameOfReferenceUID,
      rows: plane.Rows,
      columns: plane.Columns,
      rowCosines: cosines.slice(0, 3),
      columnCosines: cosines.slice(3),
      imageOrientationPatient: cosines,
      imagePositionPatient: plane.ImagePositionPatient,
      pixelSpacing: plane.PixelSpacing,
      rowPixelSpacing: plane.PixelSpacing[0],
      columnPixelSpacing: plane.PixelSpacing[1],
    },
    imagePixelModule: { bitsAllocated: 16, samplesPerPixel: 1, pixelRepresentation: 1 },
  }[type];
}
core.metaData.addProvider(told, 10000);

async function segmentation() {
  const ids = [...planes.keys()];
  const read = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(
    ids, bytes(segPath), { metadataProvider: core.metaData },
  );
  const images = read.labelMapImages.flat().map((image, index) => {
    const values = image.getPixelData();
    const inside = [];
    values.forEach((value, at) => value && inside.push(at));
    const plane = planes.get(ids[index]);
    return { uid: plane.SOPInstanceUID, frame: plane.frame ?? null, inside };
  });
  const [segment] = read.segMetadata.data.filter(Boolean);
  return { images, label: segment.SegmentLabel };
}

// Each measurement group: what the adapters take it for, and where its coordinates lie in the patient.
function report() {
  const { MeasurementReport } = adaptersSR.Cornerstone3D;
  const ids = Object.fromEntries(
    [...planes].map(([id, plane]) => [`${plane.SOPInstanceUID}:${plane.frame ?? 1}`, id]),
  );
  const named = (items, meaning) => [items].flat().filter(helpers.codeMeaningEquals(meaning));
  const [measurements] = named(dataset(srPath).ContentSequence, 'Imaging Measurements');
  return named(measurements.ContentSequence, 'Measurement Group').map((group) => {
    const [identifier] = named(group.ContentSequence, 'Tracking Identifier');
    const [finding] = named(group.ContentSequence, 'Finding');
    const told = { name: identifier.TextValue, finding: finding.ConceptCodeSequence[0].CodeValue };
    const scoord = group.ContentSequence.find((item) => item.ValueType === 'SCOORD');
    if (!scoord) return told;
    const { ReferencedSOPInstanceUID: uid, ReferencedFrameNumber: frame } =
      scoord.ContentSequence[0].ReferencedSOPSequence[0];
    const referencedImageId = ids[`${uid}:${frame ?? 1}`];
    const [world] = helpers.scoordToWorld({ is3DMeasurement: false, referencedImageId }, scoord);
    const tool = MeasurementReport.getAdapterForCodeType(group).toolType;
    return { ...told, tool, uid, frame: frame ?? null, world: [...world] };
  });
}

writeFileSync(outPath, JSON.stringify({ segmentation: await segmentation(), report: report() }));
process.exit(0); // Cornerstone keeps timers
