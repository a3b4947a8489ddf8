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
