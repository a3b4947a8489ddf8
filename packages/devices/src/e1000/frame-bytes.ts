/** Source: IEEE 802.3-2018, §3.2.9, "Frame Check Sequence field". */

const CRC_POLYNOMIAL = 0xedb8_8320

export const get16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ CRC_POLYNOMIAL
  return value
})

/** Puts a frame's check sequence behind it. @param length - bytes of the frame; four follow */
export function putCheckSequence(bytes: Uint8Array, length: number): void {
  let crc = 0xffff_ffff
  for (let i = 0; i < length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]!) & 0xff]!
  crc = ~crc
  for (let i = 0; i < 4; i++) bytes[length + i] = crc >>> (8 * i)
}
