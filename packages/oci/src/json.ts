import { MIB } from '@retrap/basics'
import { OciError } from './errors.ts'
import { type ImageFile, readExactly } from './image-file.ts'

/** The OCI distribution specification asks registries for no more. */
export const MOST_BYTES: number = 4 * MIB

/** Reads a small file of an image. @throws OciError `ERR_LIMIT` */
export async function readSmall(file: ImageFile): Promise<Uint8Array<ArrayBuffer>> {
  if (file.size > MOST_BYTES)
    throw new OciError('ERR_LIMIT', file.name, `${file.size} bytes of JSON; at most ${MOST_BYTES} are read`)
  const bytes = new Uint8Array(file.size)
  await readExactly(file, 0, bytes)
  return bytes
}

/** A value of a JSON file, with its path. */
export class JsonValue {
  readonly #value: unknown
  readonly #file: string
  readonly #path: string

  private constructor(value: unknown, file: string, path: string) {
    this.#value = value
    this.#file = file
    this.#path = path
  }

  /** @throws OciError `ERR_DAMAGED` */
  static parse(bytes: Uint8Array, file: string): JsonValue {
    try {
      return new JsonValue(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), file, '')
    } catch {
      throw new OciError('ERR_DAMAGED', file, 'it is no JSON file')
    }
  }

  /** Whether the value is a missing member, or null. */
  get isAbsent(): boolean {
    return this.#value === undefined || this.#value === null
  }

  /** Returns a member of an object; an absent value has no members. */
  at(key: string): JsonValue {
    const path = this.#path === '' ? key : `${this.#path}.${key}`
    if (this.isAbsent) return new JsonValue(undefined, this.#file, path)
    if (typeof this.#value !== 'object' || Array.isArray(this.#value)) throw this.#expected('an object')
    const value = Object.hasOwn(this.#value as object, key) ? (this.#value as Record<string, unknown>)[key] : undefined
    return new JsonValue(value, this.#file, path)
  }

  /** Names of the members of an object. */
  get keys(): readonly string[] {
    return this.isAbsent ? [] : Object.keys(this.#value as object)
  }

  /** Values of a list; an absent value has none. */
  get list(): readonly JsonValue[] {
    if (this.isAbsent) return []
    if (!Array.isArray(this.#value)) throw this.#expected('a list')
    return this.#value.map((value, i) => new JsonValue(value, this.#file, `${this.#path}[${i}]`))
  }

  /** A text; of nothing the empty one. A zero, which no program can be given, is refused. */
  get text(): string {
    if (this.isAbsent) return ''
    if (typeof this.#value !== 'string' || this.#value.includes('\0')) throw this.#expected('a text')
    return this.#value
  }

  /** A list of texts. */
  get texts(): readonly string[] {
    return this.list.map(({ text }) => text)
  }

  /** A number from 0. */
  get size(): number {
    if (!Number.isSafeInteger(this.#value) || (this.#value as number) < 0) throw this.#expected('a size')
    return this.#value as number
  }

  #expected(what: string): OciError {
    return new OciError('ERR_DAMAGED', this.#file, `${this.#path === '' ? 'it' : this.#path} is not ${what}`)
  }
}
