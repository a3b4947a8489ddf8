/** Joins bytes, in order. */
export function concatenate(parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Views bytes as the numbers of a structure. */
export const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

type Values<Value> = Readonly<Record<number, Value>>

/** Little-endian fields of a structure: values by offset, for each width. */
export interface Fields {
  readonly u8?: Values<number>
  readonly u16?: Values<number>
  readonly u32?: Values<number>
  readonly u64?: Values<number | bigint>
}

/** Stores the fields of a structure. @param from - where the structure begins */
export function putFields(
  bytes: Uint8Array,
  { u8 = {}, u16 = {}, u32 = {}, u64 = {} }: Fields,
  from: number = 0,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + from, bytes.length - from)
  for (const [at, value] of Object.entries(u8)) view.setUint8(Number(at), value)
  for (const [at, value] of Object.entries(u16)) view.setUint16(Number(at), value, true)
  for (const [at, value] of Object.entries(u32)) view.setUint32(Number(at), value, true)
  for (const [at, value] of Object.entries(u64)) view.setBigUint64(Number(at), BigInt(value), true)
}

/** Globals of Node and browsers that their common type declarations lack. */
interface Base64 {
  readonly atob: (text: string) => string
  readonly btoa: (bytes: string) => string
}

const host = globalThis as unknown as Base64

/** Bytes that become characters at once: a multiple of three. */
const PIECE = 0x6000

/** Bytes as text in Base64. */
export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += PIECE)
    text += host.btoa(String.fromCharCode(...bytes.subarray(at, at + PIECE)))
  return text
}

/** The bytes of such a text. @throws an error of the host's for other text */
export const fromBase64 = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(host.atob(text), (character) => character.charCodeAt(0))
