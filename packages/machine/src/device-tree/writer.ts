import type { DeviceTreeNode } from './node.ts'

const MAGIC = 0xd00d_feed
const HEADER_BYTES = 40
const VERSION = 17
const LAST_COMPATIBLE_VERSION = 16
const RESERVATION_BYTES = 16

// Tokens of the structure block (5.4.1, "Lexical structure").
const BEGIN_NODE = 1
const END_NODE = 2
const PROPERTY = 3
const END = 9

/** RAM that the guest has to leave alone. */
export interface ReservedRange {
  /** Guest-physical address of the first byte. */
  readonly gpa: number
  /** Length in bytes. */
  readonly bytes: number
}

/** Options of {@link writeDeviceTree}. */
export interface DeviceTreeOptions {
  /** RAM that is reserved by the memory reservation block; default none. */
  readonly reserved?: readonly ReservedRange[]
  /** Physical number of the processor that starts; default 0. */
  readonly bootProcessor?: number
}

/**
 * Flattens a device tree.
 *
 * Source: Devicetree Specification 0.4, chapter 5, "Flattened Devicetree (DTB) Format".
 */
export function writeDeviceTree(root: DeviceTreeNode, options: DeviceTreeOptions = {}): Uint8Array {
  const { reserved = [], bootProcessor = 0 } = options
  const strings = new Strings()
  const structure: number[] = []
  writeNode(structure, strings, root)
  pushWord(structure, END)
  const names = strings.bytes
  const reservations = HEADER_BYTES
  const structureAt = reservations + RESERVATION_BYTES * (reserved.length + 1)
  const stringsAt = structureAt + structure.length
  const out = new Uint8Array(stringsAt + names.length)
  const view = new DataView(out.buffer)
  const header = [
    MAGIC,
    out.length,
    structureAt,
    stringsAt,
    reservations,
    VERSION,
    LAST_COMPATIBLE_VERSION,
    bootProcessor,
    names.length,
    structure.length,
  ]
  header.forEach((word, i) => view.setUint32(4 * i, word))
  // An entry of zeroes ends the block.
  reserved.forEach(({ gpa, bytes }, i) => {
    view.setBigUint64(reservations + RESERVATION_BYTES * i, BigInt(gpa))
    view.setBigUint64(reservations + RESERVATION_BYTES * i + 8, BigInt(bytes))
  })
  out.set(structure, structureAt)
  out.set(names, stringsAt)
  return out
}

/** The strings block: names of properties, each once. */
class Strings {
  readonly bytes: number[] = []
  readonly #offsets = new Map<string, number>()

  offset(name: string): number {
    let offset = this.#offsets.get(name)
    if (offset === undefined) {
      offset = this.bytes.length
      this.#offsets.set(name, offset)
      pushText(this.bytes, name)
    }
    return offset
  }
}

function writeNode(into: number[], strings: Strings, node: DeviceTreeNode): void {
  pushWord(into, BEGIN_NODE)
  pushText(into, node.name)
  align(into)
  for (const [name, value] of node.properties) {
    pushWord(into, PROPERTY)
    pushWord(into, value.length)
    pushWord(into, strings.offset(name))
    for (const byte of value) into.push(byte)
    align(into)
  }
  for (const child of node.children) writeNode(into, strings, child)
  pushWord(into, END_NODE)
}

function pushWord(into: number[], word: number): void {
  into.push(word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff)
}

function pushText(into: number[], text: string): void {
  for (let i = 0; i < text.length; i++) into.push(text.charCodeAt(i))
  into.push(0)
}

function align(into: number[]): void {
  while (into.length % 4 !== 0) into.push(0)
}
