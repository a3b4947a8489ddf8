/**
 * Reads ACPI Machine Language back, as lines that look like ASL: for tests of what is in a definition block. It knows the
 * operators that ours have.
 *
 * Source: ACPI Specification 6.5, chapters 20, "AML Specification", and 6.4, "Resource Data Types for ACPI".
 */
const OPERATORS: Readonly<Record<number, readonly [name: string, operands: number]>> = {
  0x70: ['Store', 2],
  0x74: ['Subtract', 3],
  0x79: ['ShiftLeft', 3],
  0x7b: ['And', 3],
  0x7d: ['Or', 3],
  0x82: ['FindSetRightBit', 2],
  0x86: ['Notify', 2],
  0x8a: ['CreateDWordField', 3],
  0x8b: ['CreateWordField', 3],
  0x92: ['LNot', 1],
  0x93: ['LEqual', 2],
  0xa4: ['Return', 1],
}
const SPACES = ['SystemMemory', 'SystemIO', 'PCI_Config']

const hex = (value: number | bigint): string => `0x${value.toString(16)}`

class Reader {
  readonly lines: string[] = []
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#at = 0
  }

  /** Terms up to an offset, each on its lines. */
  terms(end: number, indent: string): void {
    while (this.#at < end) this.#term(indent)
    if (this.#at !== end) throw new Error(`a term ends at ${this.#at}, its list at ${end}`)
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new Error('the terms end early')
    return byte
  }

  #little(bytes: number): bigint {
    let value = 0n
    for (let i = 0; i < bytes; i++) value |= BigInt(this.#byte()) << BigInt(8 * i)
    return value
  }

  /** A PkgLength (20.2.4). */
  #length(): number {
    const first = this.#byte()
    const following = first >> 6
    if (following === 0) return first
    let length = first & 0x0f
    for (let i = 0; i < following; i++) length += this.#byte() * 2 ** (4 + 8 * i)
    return length
  }

  /** Offset behind what a PkgLength here begins. */
  #end(): number {
    const start = this.#at
    return this.#length() + start
  }

  #segment(): string {
    return String.fromCharCode(this.#byte(), this.#byte(), this.#byte(), this.#byte()).replace(/_+$/, '')
  }

  /** A NameString (20.2.2). */
  #name(): string {
    let prefix = ''
    while ([0x5c, 0x5e].includes(this.#bytes[this.#at]!)) prefix += String.fromCharCode(this.#byte())
    const first = this.#bytes[this.#at]!
    if (first === 0) {
      this.#at++
      return prefix
    }
    let count = 1
    if (first === 0x2e || first === 0x2f) {
      this.#at++
      count = first === 0x2e ? 2 : this.#byte()
    }
    return prefix + Array.from({ length: count }, () => this.#segment()).join('.')
  }

  #block(head: string, end: number, indent: string): void {
    this.lines.push(indent + head)
    this.terms(end, `${indent}  `)
  }

  #term(indent: string): void {
    const op = this.#byte()
    switch (op) {
      case 0x08: {
        const name = this.#name()
        const isId = ['_HID', '_CID'].includes(name)
        this.lines.push(`${indent}Name(${name}, ${isId ? this.#identifier() : this.#value()})`)
        break
      }
      case 0x10: {
        const end = this.#end()
        this.#block(`Scope(${this.#name()})`, end, indent)
        break
      }
      case 0x14: {
        const end = this.#end()
        const name = this.#name()
        const flags = this.#byte()
        this.#block(`Method(${name}, ${flags & 7}, ${flags & 8 ? 'Serialized' : 'NotSerialized'})`, end, indent)
        break
      }
      case 0xa0: {
        const end = this.#end()
        this.#block(`If(${this.#value()})`, end, indent)
        break
      }
      case 0x5b:
        this.#extended(this.#byte(), indent)
        break
      default:
        this.#at--
        this.lines.push(indent + this.#value())
    }
  }

  #extended(op: number, indent: string): void {
    if (op === 0x82) {
      const end = this.#end()
      return this.#block(`Device(${this.#name()})`, end, indent)
    }
    if (op === 0x80) {
      const [name, space] = [this.#name(), SPACES[this.#byte()]]
      this.lines.push(`${indent}OperationRegion(${name}, ${space}, ${this.#value()}, ${this.#value()})`)
      return
    }
    if (op !== 0x81) throw new Error(`extended operator ${hex(op)}`)
    const end = this.#end()
    const [name, flags] = [this.#name(), this.#byte()]
    const units: string[] = []
    while (this.#at < end) units.push(`${this.#segment()}:${this.#length()}`)
    this.lines.push(`${indent}Field(${name}, ${hex(flags)}) {${units.join(' ')}}`)
  }

  /** An EISA identifier (19.6.37, "EISAID"), or a text. */
  #identifier(): string {
    if (this.#bytes[this.#at] === 0x0d) return this.#value()
    // Its integer may be of fewer bytes, the upper ones being 0; the identifier has the lowest byte first.
    const code = Number(this.#value())
    const [high, low, ...product] = [0, 8, 16, 24].map((shift) => (code >>> shift) & 0xff) as [
      number,
      number,
      ...number[],
    ]
    const letters = [10, 5, 0].map((shift) => String.fromCharCode(0x40 + ((((high << 8) | low) >> shift) & 0x1f)))
    return [...letters, ...product.map((byte) => hex(byte).slice(2).toUpperCase().padStart(2, '0'))].join('')
  }

  #value(): string {
    const op = this.#byte()
    const operator = OPERATORS[op]
    if (operator !== undefined) {
      const [name, operands] = operator
      return `${name}(${Array.from({ length: operands }, () => this.#value()).join(', ')})`
    }
    if (op === 0) return '0x0'
    if (op === 1) return '0x1'
    if (op >= 0x60 && op <= 0x67) return `Local${op - 0x60}`
    if (op >= 0x68 && op <= 0x6e) return `Arg${op - 0x68}`
    switch (op) {
      case 0x0a:
        return hex(this.#little(1))
      case 0x0b:
        return hex(this.#little(2))
      case 0x0c:
        return hex(this.#little(4))
      case 0x0e:
        return hex(this.#little(8))
      case 0x0d: {
        const end = this.#bytes.indexOf(0, this.#at)
        const text = String.fromCharCode(...this.#bytes.subarray(this.#at, end))
        this.#at = end + 1
        return `"${text}"`
      }
      case 0x11:
        return this.#buffer()
      case 0x12: {
        const end = this.#end()
        const elements = Array.from({ length: this.#byte() }, () => this.#value())
        if (this.#at !== end) throw new Error('a package ends elsewhere')
        return `{${elements.join(' ')}}`
      }
      default:
        this.#at--
        return this.#name()
    }
  }

  #buffer(): string {
    const end = this.#end()
    const bytes = Number(this.#value())
    const content = this.#bytes.slice(this.#at, end)
    if (content.length !== bytes) throw new Error(`a buffer of ${bytes} bytes has ${content.length}`)
    this.#at = end
    if (content.at(-2) !== 0x79) return `Buffer(${Buffer.from(content).toString('hex')})`
    return `Resources(${resources(content).join(' ')})`
  }
}

/** Descriptors up to the end tag. */
function resources(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer)
  const found: string[] = []
  let at = 0
  while (bytes[at] !== 0x79) {
    const tag = bytes[at]!
    const isLarge = tag >= 0x80
    const [body, length] = isLarge ? [at + 3, view.getUint16(at + 1, true)] : [at + 1, tag & 7]
    found.push(descriptor(tag, new DataView(bytes.buffer, body, length)))
    at = body + length
  }
  if (bytes[at + 1] !== 0 || at + 2 !== bytes.length) throw new Error('an end tag that is none')
  return found
}

function descriptor(tag: number, body: DataView): string {
  const u8 = (at: number): number => body.getUint8(at)
  const u16 = (at: number): number => body.getUint16(at, true)
  const u32 = (at: number): number => body.getUint32(at, true)
  const all = (...values: readonly (number | bigint)[]): string => values.map(hex).join(',')
  const lines = (): string =>
    Array.from({ length: 16 }, (_, line) => line)
      .filter((line) => (u16(0) >> line) & 1)
      .join(',')
  switch (tag) {
    case 0x47:
      return `IO(${all(u8(0), u16(1), u16(3), u8(5), u8(6))})`
    case 0x22:
      return `IRQNoFlags(${lines()})`
    case 0x23:
      return `IRQ(${hex(u8(2))};${lines()})`
    case 0x86:
      return `Memory32Fixed(${all(u8(0), u32(1), u32(5))})`
    case 0x89:
      return `Interrupt(${all(u8(0), u8(1), ...Array.from({ length: u8(1) }, (_, i) => u32(2 + 4 * i)))})`
    case 0x87:
    case 0x88:
    case 0x8a: {
      const [name, width] = ({ 0x87: ['DWord', 4], 0x88: ['Word', 2], 0x8a: ['QWord', 8] } as const)[tag]
      // Granularity, minimum, maximum, translation, length.
      const addresses = Array.from({ length: 5 }, (_, i) => {
        const at = 3 + i * width
        return width === 2 ? u16(at) : width === 4 ? u32(at) : body.getBigUint64(at, true)
      })
      return `${name}(${all(u8(0), u8(1), u8(2))};${all(...addresses)})`
    }
    case 0x8c: {
      // Offsets are from the tag on.
      const [pins, source] = [u16(11) - 3, u16(14) - 3]
      const name = String.fromCharCode(...new Uint8Array(body.buffer, body.byteOffset + source, u16(16) - 3 - source))
      const fields = [u8(0), u8(1), u16(2), u16(4), u8(6), u16(7), u16(9), u8(13), u16(18)]
      return `GPIO(${all(...fields)};${u16(pins)};${name.replace('\0', ';')})`
    }
    default:
      throw new Error(`descriptor ${hex(tag)}`)
  }
}

/** The terms of a definition block, without its header, as lines. */
export function readAml(bytes: Uint8Array): string[] {
  const reader = new Reader(bytes)
  reader.terms(bytes.length, '')
  return reader.lines
}
