import { crc32 } from 'node:zlib'

/** Makes a frame as the protocol has it. @param length - what its head says of the payload */
export function frame(type: string, payload: string = '', length: number = payload.length, magic = 'RTM2'): Buffer {
  const bytes = Buffer.alloc(20 + payload.length)
  bytes.write(`${magic}${type}`, 'latin1')
  bytes.writeUInt32LE(length, 8)
  bytes.write(payload, 20, 'latin1')
  bytes.writeUInt32LE(crc32(bytes.subarray(20)), 12)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 16)), 16)
  return bytes
}
