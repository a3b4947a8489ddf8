/** Feature bits of a disk. Source: VIRTIO 1.2, §5.2.3, "Feature bits". */
export const VirtioBlockFeature = {
  sizeMax: 1,
  segMax: 2,
  geometry: 4,
  readOnly: 5,
  blockSize: 6,
  flush: 9,
  topology: 10,
  configWriteback: 11,
  multiqueue: 12,
  discard: 13,
  writeZeroes: 14,
} as const
