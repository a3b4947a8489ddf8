/** BTF: a kernel's types, from its memory. Source: Linux, Documentation/bpf/btf.rst. */
import { SymbolsError } from './errors.ts'

const MAGIC = 0xeb9f
const HEADER_BYTES = 24
const TYPE_BYTES = 12
const [PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF] = [2, 3, 4, 5, 6, 8]
/** Volatile, const and restrict, and tags of types. */
const QUALIFIERS: ReadonlySet<number> = new Set([9, 10, 11, 18])
const [INT, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, ENUM64] = [1, 13, 14, 15, 16, 17, 19]
/** Bytes behind the type of each kind: some for each member too. */
const MORE: Readonly<Record<number, (members: number) => number>> = {
  [INT]: () => 4,
  [ARRAY]: () => 12,
  [STRUCT]: (members) => 12 * members,
  [UNION]: (members) => 12 * members,
  [ENUM]: (members) => 8 * members,
  [FUNC_PROTO]: (members) => 8 * members,
  [VAR]: () => 4,
  [DATASEC]: (members) => 12 * members,
  [DECL_TAG]: () => 4,
  [ENUM64]: (members) => 12 * members,
}
const LAST_KIND = ENUM64
const POINTER_BYTES = 8
/** Most levels of nested unnamed structures and of type aliases. */
const MOST_DEPTH = 32
/** Most members examined for one query. */
const MOST_MEMBERS = 1 << 16
const MOST_NAME_BYTES = 512

/** The place of a structure's member. */
export interface BtfMember {
  /** Bytes from the beginning of the structure. */
  readonly offset: number
  /** Bytes of the member. */
  readonly bytes: number
}

/** Finds members of structures. */
export class Btf {
  readonly #view: DataView
  /** Offset of each type by its number; 0 is void. */
  readonly #types: readonly number[]
  readonly #texts: number
  readonly #textsEnd: number
  readonly #structs = new Map<string, number>()
  /** Members that are still looked at for this question. */
  #left = 0

  /** @throws SymbolsError `ERR_DAMAGED` */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = view
    if (bytes.length < HEADER_BYTES || view.getUint16(0, true) !== MAGIC)
      throw damagedBtf('it does not begin as BTF does')
    const headerBytes = view.getUint32(4, true)
    const [at, typeBytes, texts, textBytes] = [8, 12, 16, 20].map((field) => view.getUint32(field, true)) as [
      number,
      number,
      number,
      number,
    ]
    this.#texts = headerBytes + texts
    this.#textsEnd = this.#texts + textBytes
    const end = headerBytes + at + typeBytes
    if (end > bytes.length || this.#textsEnd > bytes.length) throw damagedBtf('its header tells of more than there is')
    const types = [0]
    for (let type = headerBytes + at; type + TYPE_BYTES <= end;) {
      const kind = this.#kind(type)
      if (kind === 0 || kind > LAST_KIND) throw damagedBtf(`a type of kind ${kind}`)
      if (kind === STRUCT || kind === UNION) {
        const name = this.#text(view.getUint32(type, true))
        if (name !== '' && !this.#structs.has(name)) this.#structs.set(name, type)
      }
      types.push(type)
      type += TYPE_BYTES + (MORE[kind]?.(this.#members(type)) ?? 0)
      if (type > end) throw damagedBtf('its last type is cut off')
    }
    this.#types = types
  }

  /**
   * Finds a member of a structure, in structures without a name too.
   *
   * @param path - `desc_ring.count_bits` is a member of a member
   * @returns undefined if the kernel lacks the member
   */
  member(struct: string, path: string): BtfMember | undefined {
    this.#left = MOST_MEMBERS
    let type = this.#structs.get(struct)
    let offset = 0
    let bytes = 0
    for (const name of path.split('.')) {
      const found = type === undefined ? undefined : this.#find(type, name, 0)
      if (found === undefined) return undefined
      offset += found.offset
      bytes = this.#sizeOf(found.type, 0)
      type = this.#plain(found.type)
    }
    return { offset, bytes }
  }

  /** Returns bytes of a structure; undefined if the kernel lacks it. */
  size(struct: string): number | undefined {
    const type = this.#structs.get(struct)
    return type === undefined ? undefined : this.#view.getUint32(type + 8, true)
  }

  #kind(type: number): number {
    return (this.#view.getUint32(type + 4, true) >>> 24) & 0x1f
  }

  #members(type: number): number {
    return this.#view.getUint32(type + 4, true) & 0xffff
  }

  /** Offset of a type; undefined for void, and an unknown number. */
  #typeAt(id: number): number | undefined {
    return id === 0 ? undefined : this.#types[id]
  }

  /** Returns a type without qualifiers and aliases. */
  #plain(id: number): number | undefined {
    let type = this.#typeAt(id)
    for (let i = 0; i < MOST_DEPTH && type !== undefined; i++) {
      const kind = this.#kind(type)
      if (kind !== TYPEDEF && !QUALIFIERS.has(kind)) return type
      type = this.#typeAt(this.#view.getUint32(type + 8, true))
    }
    return undefined
  }

  #find(type: number, wanted: string, depth: number): { readonly offset: number; readonly type: number } | undefined {
    const kind = this.#kind(type)
    if ((kind !== STRUCT && kind !== UNION) || depth > MOST_DEPTH) return undefined
    // With this flag the upper byte of an offset is the size of a bit field.
    const mask = this.#view.getUint32(type + 4, true) >>> 31 === 1 ? 0xff_ffff : 0xffff_ffff
    for (let i = this.#members(type), at = type + TYPE_BYTES; i > 0; i--, at += 12) {
      // Unnamed structures may be nested many times.
      if (this.#left-- <= 0) throw damagedBtf(`it has too many members where ${wanted} is looked for`)
      const name = this.#text(this.#view.getUint32(at, true))
      const id = this.#view.getUint32(at + 4, true)
      const offset = Math.floor(((this.#view.getUint32(at + 8, true) & mask) >>> 0) / 8)
      if (name === wanted) return { offset, type: id }
      const inner = name === '' ? this.#plain(id) : undefined
      const found = inner === undefined ? undefined : this.#find(inner, wanted, depth + 1)
      if (found !== undefined) return { offset: offset + found.offset, type: found.type }
    }
    return undefined
  }

  #sizeOf(id: number, depth: number): number {
    const type = this.#plain(id)
    if (type === undefined || depth > MOST_DEPTH) return 0
    const kind = this.#kind(type)
    if (kind === PTR) return POINTER_BYTES
    if (kind === ARRAY) {
      const each = this.#sizeOf(this.#view.getUint32(type + 12, true), depth + 1)
      return each * this.#view.getUint32(type + 20, true)
    }
    return [INT, STRUCT, UNION, ENUM, FLOAT, ENUM64].includes(kind) ? this.#view.getUint32(type + 8, true) : 0
  }

  #text(at: number): string {
    let text = ''
    for (let i = this.#texts + at; i < this.#textsEnd; i++) {
      const byte = this.#view.getUint8(i)
      if (byte === 0) return text
      if (text.length >= MOST_NAME_BYTES) break
      text += String.fromCharCode(byte)
    }
    return ''
  }
}

const damagedBtf = (what: string): SymbolsError =>
  new SymbolsError('ERR_DAMAGED', 'the BTF of this kernel is damaged', what)
