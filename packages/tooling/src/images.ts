/** Images of every format, built field by field so that a test can break one. */

export const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))

/** The fields that a test's bzImage has in its setup header. */
export interface LinuxFields {
  setupSects?: number
  paragraphs?: number
  bootFlag?: number
  magic?: number
  version?: number
  loadflags?: number
  code32Start?: number
  alignment?: number
  relocatable?: number
  xloadflags?: number
  cmdlineSize?: number
  initrdAddrMax?: number
  prefAddress?: number
  initSize?: number
  jump?: number
}

export function linuxImage(fields: LinuxFields = {}): Uint8Array {
  const setupSects = fields.setupSects ?? 3
  const paragraphs = fields.paragraphs ?? 256
  const setupBytes = ((setupSects === 0 ? 4 : setupSects) + 1) * 512
  const image = new Uint8Array(setupBytes + paragraphs * 16)
  const view = new DataView(image.buffer)
  image[0x1f1] = setupSects
  view.setUint32(0x1f4, paragraphs, true)
  view.setUint16(0x1fe, fields.bootFlag ?? 0xaa55, true)
  image[0x200] = 0xeb
  image[0x201] = fields.jump ?? 0x6a
  view.setUint32(0x202, fields.magic ?? 0x5372_6448, true)
  view.setUint16(0x206, fields.version ?? 0x20f, true)
  image[0x211] = fields.loadflags ?? 0x01
  view.setUint32(0x214, fields.code32Start ?? 0x10_0000, true)
  view.setUint32(0x22c, fields.initrdAddrMax ?? 0x7fff_ffff, true)
  view.setUint32(0x230, fields.alignment ?? 0x20_0000, true)
  image[0x234] = fields.relocatable ?? 1
  view.setUint16(0x236, fields.xloadflags ?? 0x01, true)
  view.setUint32(0x238, fields.cmdlineSize ?? 2047, true)
  view.setBigUint64(0x258, BigInt(fields.prefAddress ?? 0x100_0000), true)
  view.setUint32(0x260, fields.initSize ?? 0x10_0000, true)
  for (let i = setupBytes; i < image.length; i++) image[i] = i % 251
  return image
}

/** A segment of an ELF image of a test. */
export interface ElfPart {
  type: number
  virtualAddress?: number
  physicalAddress?: number
  bytes: Uint8Array
  memoryBytes?: number
}

export function elfImage(bits: 32 | 64, entry: number, parts: readonly ElfPart[], machine?: number): Uint8Array {
  const wide = bits === 64
  const headerBytes = wide ? 64 : 52
  const entryBytes = wide ? 56 : 32
  let at = headerBytes + parts.length * entryBytes
  const image = new Uint8Array(at + parts.reduce((sum, p) => sum + p.bytes.length, 0))
  const view = new DataView(image.buffer)
  const word = (offset: number, value: number): void =>
    wide ? view.setBigUint64(offset, BigInt(value), true) : view.setUint32(offset, value, true)
  image.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
  view.setUint16(16, 2, true)
  view.setUint16(18, machine ?? (wide ? 62 : 3), true)
  word(24, entry)
  word(wide ? 32 : 28, headerBytes)
  view.setUint16(wide ? 54 : 42, entryBytes, true)
  view.setUint16(wide ? 56 : 44, parts.length, true)
  parts.forEach((part, i) => {
    const header = headerBytes + i * entryBytes
    view.setUint32(header, part.type, true)
    const fields = [
      at,
      part.virtualAddress ?? 0,
      part.physicalAddress ?? 0,
      part.bytes.length,
      part.memoryBytes ?? part.bytes.length,
    ]
    fields.forEach((value, f) => word(header + (wide ? 8 + 8 * f : 4 + 4 * f), value))
    image.set(part.bytes, at)
    at += part.bytes.length
  })
  return image
}

export function note(name: string, type: number, desc: Uint8Array): Uint8Array {
  const nameBytes = 4 * Math.ceil((name.length + 1) / 4)
  const out = new Uint8Array(12 + nameBytes + 4 * Math.ceil(desc.length / 4))
  const view = new DataView(out.buffer)
  view.setUint32(0, name.length + 1, true)
  view.setUint32(4, desc.length, true)
  view.setUint32(8, type, true)
  out.set(ascii(name), 12)
  out.set(desc, 12 + nameBytes)
  return out
}

export function words(...values: readonly number[]): Uint8Array {
  const out = new Uint8Array(4 * values.length)
  const view = new DataView(out.buffer)
  values.forEach((value, i) => view.setUint32(4 * i, value, true))
  return out
}

/** A multiboot header with flags and, with bit 16, address fields. */
export function multibootHeader(flags: number, ...addresses: readonly number[]): Uint8Array {
  return words(0x1bad_b002, flags, (0 - 0x1bad_b002 - flags) >>> 0, ...addresses)
}

export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
