import type { BlockProperties } from '@retrap/device'

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

const CAPACITY = 0
const SIZE_MAX = 8
const SEG_MAX = 12
const GEOMETRY = 16
const BLOCK_SIZE = 20
const PHYSICAL_EXPONENT = 24
const MINIMUM_IO = 26
const OPTIMAL_IO = 28
export const WRITEBACK = 32
const QUEUES = 34
const DISCARD_SECTORS = 36
const DISCARD_SEGMENTS = 40
const DISCARD_ALIGNMENT = 44
const ZEROES_SECTORS = 48
const ZEROES_SEGMENTS = 52
const ZEROES_MAY_UNMAP = 56
const CONFIG_BYTES = 60

export const SECTOR = 512
/** Bytes of one piece of a request's data. */
const PIECE_BYTES = 0x1_0000
/** A chain's header and status are pieces as well. */
const OTHER_PIECES = 2
/** Ranges of one discard or write-zeroes request. */
export const MOST_RANGES = 16
/** Most sectors of one range: just below 4 GiB. */
export const MOST_RANGE_SECTORS = 0x7f_ffff

/** Bytes of data that one request may have. */
export function mostBytes(entries: number): number {
  return (entries - OTHER_PIECES) * PIECE_BYTES
}

/** Returns the feature bits that a disk with such a medium offers. */
export function blockFeatures({ readOnly, discards, geometry }: BlockProperties, queues: number): number[] {
  const f = VirtioBlockFeature
  const bits: number[] = [f.sizeMax, f.segMax, f.blockSize, f.topology, f.flush, f.configWriteback]
  if (geometry !== undefined) bits.push(f.geometry)
  if (queues > 1) bits.push(f.multiqueue)
  if (readOnly) return [...bits, f.readOnly]
  if (discards) bits.push(f.discard)
  return [...bits, f.writeZeroes]
}

/**
 * Makes the configuration space of a disk.
 *
 * Source: VIRTIO 1.2, §5.2.4, "Device configuration layout".
 */
export function blockConfig(properties: BlockProperties, queues: number, entries: number): Uint8Array {
  const config = new Uint8Array(CONFIG_BYTES)
  const view = new DataView(config.buffer)
  const { blockBytes, physicalBlockBytes, geometry, discards } = properties
  putCapacity(config, properties)
  view.setUint32(SIZE_MAX, PIECE_BYTES, true)
  view.setUint32(SEG_MAX, entries - OTHER_PIECES, true)
  if (geometry !== undefined) {
    view.setUint16(GEOMETRY, geometry.cylinders, true)
    view.setUint8(GEOMETRY + 2, geometry.heads)
    view.setUint8(GEOMETRY + 3, geometry.sectors)
  }
  view.setUint32(BLOCK_SIZE, blockBytes, true)
  const blocks = Math.max(1, Math.floor(physicalBlockBytes / blockBytes))
  view.setUint8(PHYSICAL_EXPONENT, Math.floor(Math.log2(blocks)))
  view.setUint16(MINIMUM_IO, blocks, true)
  view.setUint32(OPTIMAL_IO, 0, true)
  config[WRITEBACK] = 1
  view.setUint16(QUEUES, queues, true)
  if (discards) {
    view.setUint32(DISCARD_SECTORS, MOST_RANGE_SECTORS, true)
    view.setUint32(DISCARD_SEGMENTS, MOST_RANGES, true)
    view.setUint32(DISCARD_ALIGNMENT, blockBytes / SECTOR, true)
  }
  view.setUint32(ZEROES_SECTORS, MOST_RANGE_SECTORS, true)
  view.setUint32(ZEROES_SEGMENTS, MOST_RANGES, true)
  config[ZEROES_MAY_UNMAP] = discards ? 1 : 0
  return config
}

/** Writes how many sectors the medium has now. */
export function putCapacity(config: Uint8Array, { bytes }: BlockProperties): void {
  const view = new DataView(config.buffer, config.byteOffset)
  const sectors = Math.floor(bytes / SECTOR)
  view.setUint32(CAPACITY, sectors % 2 ** 32, true)
  view.setUint32(CAPACITY + 4, Math.floor(sectors / 2 ** 32), true)
}
